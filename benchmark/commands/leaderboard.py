"""From records to a table on the screen."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from rich.console import Console

import methods as registry
from benchmark import budgets, provenance, rerun, selection
from benchmark.commands.flags import one_of, search_kind, selection_rule, unused
from benchmark.errors import UsageError
from benchmark.evidence import Evidence
from benchmark.field import assemble, evaluations, one_protocol
from benchmark.heap import uncollected
from benchmark.provenance import Verdicts
from benchmark.store import Damaged, Scan, Store, Survey
from benchmark.table import Table, build
from benchmark.views import SORTABLE, Format, Section, arranged, document, printable, races, sections, show
from benchmark.views.page import GENERATED

FORMATS = ("table", "md", "csv", "json")
BY = ("method", "problem", "suite", "task", "race")
README = "README.md"
WIDEST = 160
"""Columns that a table takes of a wide terminal."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A leaderboard as the command line asks for it."""

    results: Path
    suite: str | None = None
    output: str = "table"
    by: str = "method"
    budget: int | None = None
    search: str = ""
    study_seed: int | None = None
    rule: str = selection.DEFAULT
    tuned: bool | None = None
    """Whether what a search chose is shown; None: where there was one."""
    sort: str = ""
    baseline: str = ""
    protocol: int | None = None
    out: str = ""
    """A file, ``-`` for none, or empty: README.md in the folder of results for Markdown, else none."""

    @property
    def target(self) -> Path | None:
        """Where the text is written besides being printed."""
        if self.out:
            return None if self.out == "-" else Path(self.out)
        return self.results / README if self.output == "md" and self.by == "method" else None

    @property
    def flags(self) -> str:
        """What was asked for, as it would be asked for again; the folder of results is where the page lies."""
        given: dict[str, str | int | None] = {"suite": self.suite, "by": self.by if self.by != "method" else "", "sort": self.sort}
        given |= {
            "search": self.search,
            "budget": self.budget,
            "study-seed": self.study_seed,
            "baseline": self.baseline,
            "protocol": self.protocol,
        }
        given |= {"selection-rule": self.rule if self.rule != selection.DEFAULT else ""}
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in given.items() if value not in (None, "")]
        words += {True: ["--tuned"], False: ["--default"], None: []}[self.tuned]
        return " ".join([*words, "--format md"])


@dataclass(frozen=True)
class Chosen:
    """What of one suite is shown."""

    suite: str
    records: list[Evidence]
    notes: list[str]
    search: selection.Search


@uncollected()
def leaderboard(request: Request) -> None:
    """Prints the table of one suite, or of every suite that has records; by default with the largest search that all in it had.

    Raises:
        UsageError: a flag that cannot be followed, or nothing to show: no records, or none that a table ranks.
    """
    _check(request)
    scan = Store(request.results).survey()
    chosen, empty = choose(request, scan)
    warn(scan)
    verdicts, wrong = provenance.read(request.results)
    for line in wrong:
        print(f"warning: skipped {printable(line)}", file=sys.stderr)
    parts = _sections(request, chosen, scan.damaged, verdicts)
    for why in empty:
        print(f"warning: {why}", file=sys.stderr)
    _put(parts, request)


def choose(request: Request, scan: Scan | Survey) -> tuple[list[Chosen], list[str]]:
    """What of every suite is shown, and of each that has nothing to show why that is.

    Raises:
        UsageError: no such suite, records of several protocols, or nothing to show at all.
    """
    chosen, empty, unsearched = [], [], []
    suites: dict[str, list[Evidence]] = {name: [] for name in _suites(request, scan)}
    for record in scan.records:
        if record.spec.suite in suites and request.protocol in (None, record.spec.protocol):
            suites[record.spec.suite].append(record)
    for name, of_suite in suites.items():
        one_protocol(record for record in of_suite if record.spec.role == "eval")
        trials = budgets.trials_of(of_suite)
        search, made = _search(request, trials)
        records, notes = selection.shown(of_suite, search)
        if not made:
            unsearched.append(name)
            notes = [f"no {_wanted(request)} was made of {name}: these are the published defaults", *notes]
        if records:
            unequal = budgets.notes(budgets.sizes(trials, search), search, records, asked=request.budget is not None)
            chosen.append(Chosen(name, records, [*notes, *unequal], search))
        else:
            empty.append(_why_empty(name, of_suite, search))
    if not chosen:
        raise UsageError("; ".join(empty))
    if len(unsearched) == len(chosen) + len(empty):
        raise UsageError(
            f"no {_wanted(request)} was made of {', '.join(unsearched)}: leave that out, or make it (python -m benchmark sweep)"
        )
    if request.tuned and all(each.search.budget == 1 for each in chosen):
        command = f"python -m benchmark sweep --suite {chosen[0].suite}"
        raise UsageError(f"--tuned, but nothing was tuned of {', '.join(each.suite for each in chosen)} (tune: {command})")
    return chosen, empty


def check_choice(request: Request) -> None:
    """Raises UsageError for flags that cannot choose anything, whatever the records are."""
    selection_rule(request.rule)
    if request.search:
        search_kind(request.search)
    if request.tuned is False:
        why = "--default shows the published defaults, and no search"
        chosen = {"--budget": request.budget, "--search": request.search, "--study-seed": request.study_seed is not None}
        unused(why, chosen | {"--selection-rule": request.rule != selection.DEFAULT})


def _check(request: Request) -> None:
    """Raises UsageError for flags that are wrong whatever the records are, and for a file that must not be written."""
    one_of("--format", request.output, FORMATS)
    one_of("--by", request.by, BY)
    one_of("--sort", request.sort, ["", *SORTABLE])
    check_choice(request)
    target = request.target
    if target is not None and request.output == "md" and target.exists():
        try:
            with target.open(encoding="utf-8", errors="replace") as file:
                first = file.readline()
        except OSError as error:
            raise UsageError(f"{target} cannot be read: {error.strerror}; give another --out FILE, or --out - to print only") from error
        if not first.startswith(GENERATED):
            raise UsageError(
                f"{target} was not written by this command, as its first line does not say so, and is left alone: "
                "give another --out FILE, or --out - to print only"
            )


def _suites(request: Request, scan: Scan | Survey) -> list[str]:
    """The suites to show. Raises UsageError where there are none."""
    where = request.results.resolve()
    suites = sorted({record.spec.suite for record in scan.records})
    if request.suite is not None and request.suite not in suites:
        known = f"there are records of: {', '.join(suites)}" if suites else f"{where} has no records"
        hint = registry.suggestion(request.suite, suites)
        raise UsageError(
            f"no records of suite {request.suite!r}{hint} ({known}; make some: python -m benchmark run --suite {request.suite})"
        )
    if not suites:
        damaged = f", but {len(scan.damaged)} files that cannot be read as such: {scan.damaged[0].reason}" if scan.damaged else ""
        raise UsageError(f"{where} has no records{damaged} (make some: python -m benchmark run --suite smoke)")
    if request.protocol is not None:
        found = sorted({record.spec.protocol for record in scan.records if request.suite in (None, record.spec.suite)})
        if request.protocol not in found:
            raise UsageError(f"--protocol {request.protocol}: no records of it (there are: {', '.join(map(str, found))})")
        suites = sorted({record.spec.suite for record in scan.records if record.spec.protocol == request.protocol})
    return suites if request.suite is None else [request.suite]


def _search(request: Request, trials: budgets.Trials) -> tuple[selection.Search, bool]:
    """The search whose choice is shown, and whether it was made where a certain one was asked for."""
    decides = selection_rule(request.rule)
    if request.tuned is False:
        return selection.Search(rule=decides), True
    kind = search_kind(request.search) if request.search else None
    found = replace(budgets.common(trials, kind, request.study_seed), rule=decides)
    made = found.budget > 1 or (kind is None and request.study_seed is None)
    return found if request.budget is None else replace(found, budget=request.budget), made


def _wanted(request: Request) -> str:
    """The search that was asked for, in words."""
    kind = f"{request.search} search" if request.search else "search"
    return kind if request.study_seed is None else f"{kind} with study seed {request.study_seed}"


def _sections(request: Request, chosen: Sequence[Chosen], damaged: Sequence[Damaged], verdicts: Verdicts) -> list[Section]:
    """What is shown, a section a suite, or one of all suites."""

    def made(records: Iterable[Evidence], notes: Sequence[str] = (), of: Sequence[Chosen] = ()) -> Table:
        built = build(records, baseline=request.baseline or None, verdicts=verdicts, damaged=damaged if of else ())
        commands = [command for each in of if (command := rerun.command(each.records, each.search))]
        built = replace(built, notes=[*built.notes, *notes], rerun=commands)
        return arranged(built, request.sort) if request.sort else built

    if request.by == "suite":
        notes = [f"{each.suite}: {note}" for each in chosen for note in each.notes]
        whole = made([record for each in chosen for record in each.records], notes, chosen)
        return [sections.of_suites(whole, [made(each.records) for each in chosen if _measured(each.suite, each.records, request.baseline)])]
    found = []
    for each in chosen:
        whole = made(each.records, each.notes, [each])
        if request.by == "problem":
            alone = {problem.name: [r for r in each.records if r.spec.problem == problem.name] for problem in whole.problems}
            parts = [made(records) for name, records in alone.items() if _measured(name, records, request.baseline)]
            found.append(sections.of_problems(whole, parts))
        elif request.by == "race":
            found.append(_raced(whole, each.records, request.baseline))
        else:
            found.append(sections.of_task(whole) if request.by == "task" else sections.of_method(whole))
    return found


def _measured(name: str, records: Iterable[Evidence], baseline: str) -> bool:
    """Whether the baseline that was asked for is there to measure against; where it is not, that is said."""
    if not baseline or any(record.spec.entrant == baseline and record.spec.role == "eval" for record in records):
        return True
    print(f"warning: {printable(name)} is left out, as {printable(baseline)} was not run on it", file=sys.stderr)
    return False


def _raced(table: Table, records: Sequence[Evidence], baseline: str) -> Section:
    """Races against equal weights, or against whoever was asked for as the baseline."""
    reference = baseline or table.equal
    if reference is None:
        suite = ", ".join(table.suites)
        raise UsageError(
            f"--by race: suite {suite} has no runs of equal weights to race against: name another entrant with --baseline, or make them "
            f"(python -m benchmark run --suite {suite}, where baselines always take part)"
        )
    groups = assemble(evaluations(records, None)).groups
    return sections.of_races(table, races.grids(groups, reference), races.notes(groups, reference), list(races.lines(groups, reference)))


def _put(parts: Sequence[Section], request: Request) -> None:
    """Prints the sections, and writes them where a file is wanted."""
    form = cast(Format, request.output)
    target = request.target
    text = ""
    if form != "table" or target is not None:  # a file has the width of a page, and the terminal its own
        text = document(parts, request.flags) if form == "md" else show(parts, form)
    if form == "table":
        _print(parts)
    else:
        print(text, end="")
    if target is not None:
        try:
            temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
            try:
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}; give another --out FILE, or --out - to print only") from error
        print(f"wrote {target}", file=sys.stderr)


def _print(parts: Sequence[Section]) -> None:
    console = Console()
    width = min(console.width, WIDEST) if console.is_terminal else 100
    print(show(parts, width=width, colour=console.is_terminal), end="")


def _why_empty(suite: str, records: Sequence[Evidence], search: selection.Search) -> str:
    """Why there are records, but no row; and the command that makes one."""
    if any(record.spec.role == "eval" and not selection.explored(record.spec) for record in records):
        found = f"none is an evaluation of what this search ({search.kind}, budget {search.budget}) chose"
    else:
        search = selection.largest(records) if search.budget == 1 else search
        found = "all are of tuning or of adaptive searches, and a leaderboard ranks neither"
    command = f"python -m benchmark run --suite {suite}"
    if search.budget > 1:
        command = f"python -m benchmark sweep --suite {suite} {' '.join(search.flags())}"
    count = sum(record.count for record in records)
    return f"nothing to rank of suite {suite!r}: of its {count} records {found} (make evaluation records: {command})"


def print_table(records: Sequence[Evidence], damaged: Sequence[Damaged], notes: Sequence[str] = ()) -> None:
    """The table of one study, as it is at its end."""
    built = build(records, damaged=damaged)
    _print([sections.of_method(replace(built, notes=[*built.notes, *notes]))])


def warn(scan: Scan | Survey) -> None:
    for damaged in scan.damaged:
        print(f"warning: skipped {printable(damaged.path)}: {printable(damaged.reason)}", file=sys.stderr)
