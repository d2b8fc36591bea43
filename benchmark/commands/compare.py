"""Two entrants against each other, from records."""

from __future__ import annotations

import sys

from rich.console import Console

import methods as registry
from benchmark.commands.flags import one_of
from benchmark.commands.leaderboard import Chosen, Request, check_choice, choose, warn
from benchmark.comparison import Comparison
from benchmark.comparison import compare as compared
from benchmark.errors import UsageError
from benchmark.store import Store
from benchmark.views import comparison as words
from benchmark.views.export import json_of
from benchmark.views.terminal import draw

FORMATS = ("table", "json")


def compare(first: str, second: str, request: Request) -> None:
    """Prints how two entrants differ, suite by suite where both have records.

    Args:
        first: an entrant, as the leaderboard names it.
        second: another one.
        request: which records are shown, as for the leaderboard.

    Raises:
        UsageError: a flag that cannot be followed, an entrant without records, or nothing that both have in common.
    """
    one_of("--format", request.output, FORMATS)
    check_choice(request)
    scan = Store(request.results).survey()
    chosen, empty = choose(request, scan)
    warn(scan)
    for why in empty:
        print(f"warning: {why}", file=sys.stderr)
    known = sorted({name for each in chosen for name in entrants(each)})
    for name in (first, second):
        if name not in known:
            raise UsageError(f"no evaluation records of {name!r}{registry.suggestion(name, known)} (there are: {', '.join(known)})")
    made: list[tuple[Comparison, list[str]]] = []
    for each in chosen:
        if {first, second} <= entrants(each):
            made.append((compared(each.records, first, second, baseline=request.baseline or None), each.notes))
    if not made:
        where = [f"{name} in {', '.join(each.suite for each in chosen if name in entrants(each))}" for name in (first, second)]
        raise UsageError(f"{first} and {second} have no suite in common: {where[0]}, {where[1]}")
    if request.output == "json":
        found = [{"sentence": words.sentence(comparison), "comparison": comparison, "selection": notes} for comparison, notes in made]
        print(json_of(found[0] if len(found) == 1 else found), end="")
        return
    console = Console()
    width = console.width if console.is_terminal else 100
    for comparison, notes in made:
        said = f"{', '.join(comparison.suites)}: {words.sentence(comparison)}"
        lines = [*words.legend(comparison), *(f"Note: {note}" for note in notes)]
        print(draw([], [said], width, console.is_terminal), end="")
        print(draw([words.grid(comparison)], lines, width, console.is_terminal), end="")


def entrants(chosen: Chosen) -> set[str]:
    return {record.spec.entrant for record in chosen.records}
