"""From records to the leaderboard: a pure function.

    records -> of one setting -> runs, one an (entrant, problem, seed) -> statistics -> rows

Nothing is dropped or averaged without a note, and a failure never improves a row: a row that lacks any run ranks below all that lack none.
"""

from __future__ import annotations

import math
import statistics as stdlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from string import ascii_letters
from typing import TYPE_CHECKING

from benchmark import scoring
from benchmark.board import Cell, Duel, Estimate, Row, Table
from benchmark.evidence import Evidence
from benchmark.field import Field, assemble, evaluations
from benchmark.provenance import Verdicts
from benchmark.scoring import Score, estimate
from benchmark.sheet import columns
from benchmark.store import Damaged

if TYPE_CHECKING:  # numpy is loaded by ``build`` and not by whoever imports this module
    from benchmark.statistics import Bootstrap, Floats, Intervals

__all__ = ["Cell", "Duel", "Estimate", "Row", "Table", "build", "gaps"]


def build(
    records: Iterable[Evidence],
    suite: str | None = None,
    *,
    baseline: str | None = None,
    verdicts: Verdicts | None = None,
    damaged: Sequence[Damaged] = (),
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Table:
    """The leaderboard of a suite, or of all suites together. Only evaluation records count, and their order does not matter.

    Args:
        records: any records; where an entrant was tuned, the caller has picked which of its settings to show.
        suite: leave out the records of other suites.
        baseline: the entrant that Δm is measured against, in place of single-task training.
        verdicts: on records, by id.
        damaged: passed through to whoever shows the table.
        confidence: level of the intervals.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        UsageError: records of several protocols, or a baseline that takes no part.
    """
    members = evaluations(records, suite)
    if not members:
        return Table([], [], [], [], list(damaged), 0, confidence, draws)
    suites = sorted({record.spec.suite for record in members})
    field = assemble(members, baseline, verdicts)
    scores = [scoring.score(group, field) for group in field.groups]
    costs, cost_of = scoring.costs(field)
    rows = _rows(field, scores, costs, confidence, draws, seed)
    notes = [
        *field.notes,
        *(note for group, score in zip(field.groups, scores, strict=True) for note in scoring.remarks(group, score, field)),
    ]
    notes += _doubts(field, rows)
    devices = sorted({record.environment["device"] for record in members if "device" in record.environment})
    if len(devices) > 1:
        notes.append(f"costs compare runs on different devices: {', '.join(devices)}")
    return Table(
        suites=suites,
        problems=[group.problem for group in field.groups],
        rows=rows,
        notes=notes,
        damaged=list(damaged),
        records=sum(record.count for record in members),
        confidence=confidence,
        draws=draws,
        baseline=field.baseline,
        chosen_baseline=baseline is not None,
        equal=field.equal,
        cost_of=cost_of,
    )


def gaps(
    records: Iterable[Evidence], entrant: str, suite: str | None = None, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Δm of every entrant less that of ``entrant``, on each problem: by the problem's label, then by the other's name.

    Seeds are paired, and the draws are those of :func:`build` on the same records. The intervals are one at a time: m of them that shall
    hold together want a ``confidence`` of 1 - 0.05 / m (Bonferroni). Entrants that lack a run are left out, and problems without a
    baseline.
    """
    from benchmark import statistics

    field = assemble(evaluations(records, suite))
    groups, entrants = field.groups, field.entrants
    scores = [scoring.score(group, field) for group in groups]
    samples = [score.sample for score in scores if score.sample is not None]
    if entrant not in entrants or not samples:
        return {}
    differences = statistics.paired_bootstrap(samples, draws, seed).delta_m.minus(entrants.index(entrant))
    found: dict[str, dict[str, Estimate]] = {}
    for group, score in zip(groups, scores, strict=True):
        if score.sample is not None:
            intervals = statistics.pooled(differences.on(len(found)), confidence)
            estimates = {other: estimate(intervals, index) for index, other in enumerate(entrants) if other != entrant}
            found[group.problem.label] = {other: each for other, each in estimates.items() if not math.isnan(each.value)}
    return found


def _rows(field: Field, scores: list[Score], costs: Mapping[str, float], confidence: float, draws: int, seed: int) -> list[Row]:
    """Rows in the order of the table: what is not ranked, then complete rows by Δm, then the others by failures and mean rank."""
    from benchmark import statistics

    samples = [score.sample for score in scores if score.sample is not None]
    boot = statistics.paired_bootstrap(samples, draws, seed) if samples else None
    cells = _cells(field, scores, boot, confidence)
    totals = tuple(statistics.pooled(each, confidence) for each in (boot.delta_m, boot.delta_p)) if boot is not None else (None, None)
    rows = []
    for index, entrant in enumerate(field.entrants):
        mine = list(cells[entrant].values())
        failures = Counter(status for group in field.groups for status in columns(group.runs.get(entrant, {})).failures)
        complete = all(cell.complete for cell in mine)
        finished = [Estimate(scoring.mean(getattr(cell, name).value for cell in mine)) for name in ("delta_m", "delta_p")]
        means = [estimate(total, index) for total in totals] if complete else finished
        rows.append(
            Row(
                rank=None,
                entrant=entrant,
                reference=entrant == field.baseline,
                complete=complete,
                group="",
                letters="",
                like_best=None,
                delta_m=means[0],
                delta_p=means[1],
                mean_rank=math.nan if entrant in field.partial else stdlib.fmean(cell.mean_rank for cell in mine),
                iqm=Estimate(),
                wins=None,
                finished=sum(cell.seeds for cell in mine),
                expected=sum(len(group.problem.seeds) for group in field.groups),
                failures=dict(sorted(failures.items())),
                cost=costs[entrant],
                passes=scoring.passes(field, entrant),
                memory=scoring.memory(field, entrant),
                provenance=field.provenance[entrant],
                cells=cells[entrant],
            )
        )
    return _ranked(_compared(rows, field, scores, confidence, draws, seed), field, boot)


def _cells(field: Field, scores: list[Score], boot: Bootstrap | None, confidence: float) -> dict[str, dict[str, Cell]]:
    """By entrant and the problem's label."""
    from benchmark import statistics

    cells: dict[str, dict[str, Cell]] = {entrant: {} for entrant in field.entrants}
    column = 0
    for group, score in zip(field.groups, scores, strict=True):
        delta_m: Intervals | None = None
        delta_p: Intervals | None = None
        if boot is not None and score.sample is not None:
            delta_m, delta_p = (statistics.pooled(each.on(column), confidence) for each in (boot.delta_m, boot.delta_p))
            column += 1
        for index, entrant in enumerate(field.entrants):
            cells[entrant][group.problem.label] = scoring.cell(group.problem, score, index, delta_m, delta_p, confidence)
    return cells


def _compared(rows: list[Row], field: Field, scores: list[Score], confidence: float, draws: int, seed: int) -> list[Row]:
    """With what is told by single runs: the IQM of complete rows, and the wins over equal weights of those that are ranked."""
    from benchmark import statistics

    samples = [score.sample for score in scores if score.sample is not None]
    if not samples:
        return rows
    runs = statistics.stack([sample.scores() for sample in samples])  # [entrants, problems, seeds]
    whole = [index for index, row in enumerate(rows) if row.complete]
    found = list(rows)
    if whole:
        middle = statistics.iqm(runs[whole], draws, seed, confidence)
        for place, index in enumerate(whole):
            found[index] = replace(found[index], iqm=estimate(middle, place))
    fighters = [index for index in whole if field.ranked(rows[index].entrant) or rows[index].entrant == field.equal]
    equal = next((place for place, index in enumerate(fighters) if rows[index].entrant == field.equal), None)
    if equal is not None:
        fought = statistics.against(runs[fighters], equal)
        for place, index in enumerate(fighters):
            if place != equal:
                wins, ties, losses = (int(each[place]) for each in (fought.wins, fought.ties, fought.losses))
                found[index] = replace(found[index], wins=Duel(wins, ties, losses, float(fought.adjusted[place])))
    return found


def _ranked(rows: list[Row], field: Field, boot: Bootstrap | None) -> list[Row]:
    """Sorts, numbers (equal rows share a rank) and groups what cannot be told apart. ``rows`` are in the order of the bootstrap."""
    from benchmark import statistics

    def key(row: Row) -> tuple[bool, float, float, float]:
        if not row.complete:
            return True, sum(row.failures.values()), _last(row.mean_rank), _last(row.delta_m.value)
        return False, _last(row.delta_m.value), _last(row.mean_rank), 0.0

    entered = sorted((row for row in rows if field.ranked(row.entrant)), key=lambda row: (key(row), row.entrant))
    keys = [key(row) for row in entered]
    marked = list(rows)
    order = [rows.index(row) for row in entered if row.complete]
    if boot is not None and order:
        some = statistics.Resamples(boot.delta_m.estimate[order], boot.delta_m.draws[order], boot.delta_m.seeds)
        p = statistics.separations(some)
        letters = statistics.letters(p, range(len(order)))
        for index, group, found in zip(order, _groups(p), letters, strict=True):
            marked[index] = replace(rows[index], group=group, letters=found, like_best=group == "a" if group else None)
    numbered = {row.entrant: row for row in marked}
    references = sorted((row for row in rows if not field.ranked(row.entrant)), key=lambda row: (not row.reference, row.entrant))
    return references + [replace(numbered[row.entrant], rank=1 + keys.index(key(row))) for row in entered]


def _doubts(field: Field, rows: Sequence[Row]) -> list[str]:
    """What a reader must know about what is not there."""
    notes = []
    alone = [group.problem for group in field.groups if group.problem.baseline and len(group.problem.seeds) == 1]
    if alone:
        suites = sorted({problem.suite for problem in alone})
        more = ", ".join(f"python -m benchmark run --suite {suite} --seeds 10" for suite in suites)
        where = ", ".join(problem.label for problem in alone)
        notes.append(
            f"one seed on {where}: no interval, letter or p is given, as one run does not tell how much runs differ; make more: {more}"
        )
    ranked = [row for row in rows if row.rank is not None]
    if len(ranked) == 1:
        notes.append(f"one method only, {ranked[0].entrant}: there is nothing to rank it against; add some: --methods a,b")
    if not ranked:
        notes.append("nothing is ranked: there are only records of what the others would be measured against; add some: --methods a,b")
    equal = next((row for row in rows if row.entrant == field.equal), None)
    if equal is not None and not equal.complete:
        suites = sorted({group.problem.suite for group in field.groups})
        again = " --retry failed" if equal.failures else ""
        made = ", ".join(f"python -m benchmark run --suite {suite}{again}" for suite in suites)
        notes.append(f"nobody's wins are counted, as {equal.entrant} lacks runs; make them: {made}")
    return notes


def _groups(p: Floats, alpha: float = 0.05) -> list[str]:
    """A letter a row, ``p`` [rows, rows] with the best first: each group is what cannot be told apart from the best row that is left.

    Corrected by Holm over all pairs, as the compact letter display is, of which it is a summary: of many rows, whose intervals differ in
    length, that display has dozens of letters a row. Empty where nothing is known of a row.
    """
    import numpy as np

    from benchmark import statistics

    adjusted = np.full_like(p, np.nan)
    pairs = np.triu_indices(len(p), 1)
    adjusted[pairs] = statistics.holm(p[pairs])
    known = len(p) == 1 or not np.isnan(adjusted[pairs]).all()
    found = ["" for _ in p]
    left = list(range(len(p))) if known else []
    for letter in ascii_letters:
        if not left:
            break
        members = [row for row in left if row == left[0] or not adjusted[left[0], row] <= alpha]
        for row in members:
            found[row] = letter
        left = [row for row in left if row not in members]
    return found


def _last(value: float) -> float:
    """For sorting: no number comes after every number."""
    return math.inf if math.isnan(value) else value
