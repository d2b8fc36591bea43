"""How many configurations a search tried of every entrant: rows of unequal budgets are not compared without a word.

Pure functions of the records. A search runs no configuration twice, so where a space is finite its trials may be fewer than its budget:
a proposal that repeats an earlier one counts as tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import methods
from benchmark.evidence import Evidence, Setting
from benchmark.records import Value
from benchmark.runs import one_setting, place
from benchmark.search import ADAPTIVE, KINDS, Kind, propose
from benchmark.selection import Key, Search, explored, group, origin, pinned

Sizes = dict[tuple[str, str], int]
"""By entrant and problem; 1 where only the published defaults were tried."""


def common(records: Iterable[Evidence] | Trials, kind: Kind | None = None, seed: int | None = None) -> Search:
    """The largest search that every evaluated entrant had, of those that were searched; a budget of 1 where none was.

    Of several kinds and seeds (if not given) that which searched the most entrants, then that with the largest budget.
    """
    trials = trials_of(records)
    made = sorted(of for of in trials.tuned if of is not None and of[0] not in ADAPTIVE)
    found = []
    for name, number in made:
        one = next(each for each in KINDS if each == name)
        if kind in (None, one) and seed in (None, number):
            searched = [size for size in _sizes(trials, Search(kind=one, seed=number)).values() if size > 1]
            if searched:
                found.append((-len(searched), -min(searched), one != "quasi-random", number, one))
    if not found:
        return Search(kind=kind or "quasi-random", seed=seed or 0)
    _, less, _, number, one = min(found)
    return Search(-less, one, number)


def sizes(records: Iterable[Evidence] | Trials, search: Search) -> Sizes:
    """Configurations that this search, whatever its budget, tried of every evaluated entrant on every problem: an explicit budget may be
    above all of them. Of an entrant that trains every task alone, those of the task with the fewest."""
    return _sizes(trials_of(records), search)


@dataclass(frozen=True)
class Trials:
    """What was evaluated and what was tried, from one look at the records."""

    evaluated: set[tuple[str, str, Key]]
    """Entrant, problem, and what a search is over."""
    tuned: dict[tuple[str, int] | None, dict[Key, list[Setting]]]
    """By kind and seed of the search; the published defaults, which are in all, under None."""


def trials_of(records: Iterable[Evidence] | Trials) -> Trials:
    """What the functions of this module look at: of very many records, whoever asks them several things looks once."""
    if isinstance(records, Trials):
        return records
    tuned: dict[tuple[str, int] | None, dict[Key, list[Setting]]] = {}
    evaluated: dict[tuple[str, str], list[Evidence]] = {}
    for record in records:
        spec = record.spec
        if spec.role == "eval" and not explored(spec):
            evaluated.setdefault(place(record), []).append(record)
        elif spec.role == "tune":
            tuned.setdefault(origin(spec) if spec.trial else None, {}).setdefault(group(spec), []).append(spec)
    keys = {
        (record.spec.entrant, record.spec.problem, group(record.spec))
        for members in evaluated.values()
        for record in one_setting("", members)[0]
    }
    return Trials(keys, tuned)


def _sizes(trials: Trials, search: Search) -> Sizes:
    of = [trials.tuned.get(each, {}) for each in (None, (search.kind, search.seed))]
    limit = max([search.budget, *(1 + spec.trial for tuned in of for specs in tuned.values() for spec in specs)])
    known = frozenset(methods.names())
    found: Sizes = {}
    for entrant, problem, key in trials.evaluated:
        tried = _tried([spec for tuned in of for spec in tuned.get(key, [])], search, limit, known)
        found[entrant, problem] = min(tried, found.get((entrant, problem), tried))
    return found


def notes(of: Mapping[tuple[str, str], int], search: Search, shown: Iterable[Evidence], *, asked: bool) -> list[str]:
    """What a reader must know of unequal budgets, a note a line; none where all had the budget of this search.

    Args:
        asked: whether somebody asked for this budget: who had more is no news then.
    """
    if search.budget == 1:
        return []
    rows = {(record.spec.entrant, record.spec.problem) for record in shown}
    found = []
    more = {cell: size for cell, size in of.items() if size > search.budget}
    if more and not asked:
        found.append(
            f"searched more than the {search.budget} configurations that are compared: {_names(of, more)}; "
            f"--budget {max(more.values())} shows what came of it, against fewer of the others"
        )
    for size in sorted({size for size in of.values() if 1 < size < search.budget}):
        fewer = {cell: size for cell in of if of[cell] == size and cell in rows}
        if fewer:
            found.append(f"unequal budgets: searched {size} of {search.budget}: {_names(of, fewer)}")
    never = {cell: 1 for cell, size in of.items() if size == 1 and cell in rows}
    if never:
        found.append(f"unequal budgets: never searched, shown with the published defaults: {_names(of, never)}")
    return found


def _names(of: Mapping[tuple[str, str], int], some: Mapping[tuple[str, str], int]) -> str:
    """``gradnorm (8), equal on digits (4)``: the problems where not all of an entrant's are meant, the sizes where they differ."""
    words = []
    for entrant in sorted({entrant for entrant, _ in some}):
        problems = sorted(problem for name, problem in some if name == entrant)
        whole = len(problems) == sum(name == entrant for name, _ in of)
        words.append(entrant + ("" if whole else f" on {', '.join(problems)}"))
        numbers = sorted({some[entrant, problem] for problem in problems})
        if len(numbers) > 1 or len(set(some.values())) > 1:
            words[-1] += f" ({' or '.join(map(str, numbers))})"
    return ", ".join(words)


def _tried(specs: list[Setting], search: Search, limit: int, methods_known: Collection[str]) -> int:
    """Of one group: up to its last trial, and on as long as proposals repeat what was tried."""
    size = max((1 + spec.trial for spec in specs), default=1)
    first = next((spec for spec in specs if spec.trial == 0), None)
    if first is None or search.kind not in KINDS or first.method not in methods_known:
        return size
    card = methods.card(first.method)
    swept = {hyperparameter.name for hyperparameter in card.hyperparameters if hyperparameter.sweep}
    if card.version != first.method_version or not swept <= first.hyperparameters.keys():  # it proposes something else now
        return size
    known = {_configuration(spec.hyperparameters, spec.learning_rate) for spec in specs} if size < limit else set()
    own, given = dict(first.hyperparameters), frozenset(pinned(first))
    while size < limit:
        proposal = propose(card, own, first.learning_rate, size, pinned=given, kind=search.kind, seed=search.seed)
        if _configuration(*proposal) not in known:
            break
        size += 1
    return size


def _configuration(own: Mapping[str, Value], rate: float) -> tuple[tuple[tuple[str, Value], ...], float]:
    return tuple(sorted(own.items())), rate
