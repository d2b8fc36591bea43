"""Cell by cell: is ours what was printed? Pure functions from an experiment and its records to verdicts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.published.facts import Table
from benchmark.published.recompute import recompute
from benchmark.records import FINISHED, RunRecord
from benchmark.reproduction import Cell, Experiment, Printed, Relation, Tolerance, Witness

Verdict = Literal["matched", "not matched", "contradicted", "undetermined", "undefined", "failed", "not run"]
"""``undefined``: the source's method is not defined there, so that nothing can be compared. The next two only where another implementation
agrees with ours. ``contradicted``: it denies what is printed. ``undetermined``: its own runs end further apart than the tolerance, so that
no number can be matched, and what is printed is one that it might give."""

Runs = Mapping[tuple[str, str], Sequence[RunRecord]]
"""Records by problem and row."""


@dataclass(frozen=True, slots=True)
class Number:
    """A mean over ``n`` seeds with its 95 % interval by Student's t; nan for one seed."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell."""

    group: str
    """The table that it stands in."""
    row: str
    column: str
    metrics: tuple[str, ...]
    printed: str
    """As the source has it, or in words."""
    ours: tuple[Number, ...]
    """One for each metric; none where nothing finished."""
    verdict: Verdict
    said: str
    """What was compared with what, or why nothing was."""
    source: str
    note: str
    """The file's."""
    apart: bool = False
    """Another implementation of a row, or a finding of ours: counted apart."""


def mean_of(values: Sequence[float]) -> Number:
    """Of at least one value."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Number(mean, math.nan, math.nan, 1)
    from scipy.special import stdtrit

    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    reach = float(stdtrit(n - 1, 0.975)) * error
    return Number(mean, mean - reach, mean + reach, n)


def judge(experiment: Experiment, runs: Runs, published: Mapping[str, Table], rows: Collection[str] = ()) -> list[Outcome]:
    """Every cell of these rows (of all where none is named), in the order of the file."""
    told = experiment.told
    seeds = {entry.problem: entry.seeds for entry in experiment.suite.entries} if experiment.suite else {}
    found: list[Outcome] = []
    for table in told.tables:
        tolerance = told.tolerances[table.tolerance]
        for row, cells in table.rows.items():
            if rows and row not in rows:
                continue
            records = runs.get((table.problem, row), ())
            for index, (column, cell) in enumerate(zip(table.columns or [""], cells, strict=True)):
                wanted = [index] if table.columns else range(seeds[table.problem])
                found.append(
                    Outcome(
                        table.title or f"{table.problem}: {', '.join(table.metrics)}",
                        row,
                        column,
                        tuple(table.metrics),
                        cell if isinstance(cell, str) else ", ".join(f"{number:g}" for number in cell),
                        *_cell(cell, table.metrics, tolerance, records, wanted, table.witness(row, column), told.sources),
                        told.sources[table.source],
                        table.note(row, column),
                        table.apart,
                    )
                )
    for relation in told.relations:
        if not rows or relation.row in rows:
            found.append(_relation(experiment, relation, runs, seeds[relation.problem]))
    for printed in told.printed:
        found += _printed(experiment, printed, published[printed.table], runs, seeds[printed.problem], rows)
    return found


def by_seed(records: Iterable[RunRecord], metric: str) -> dict[int, float]:
    """The metric of the finished runs; of a method that trains task after task, from the run that trained its task."""
    finished = (record for record in records if record.status in FINISHED)
    return {record.spec.seed: record.test[metric] for record in finished if metric in record.test}


Found = tuple[tuple[Number, ...], Verdict, str]


def _cell(
    cell: Cell, metrics: Sequence[str], tolerance: Tolerance, records: Sequence[RunRecord], seeds: Iterable[int],
    witness: Witness | None, sources: Mapping[str, str],
) -> Found:  # fmt: skip
    """Ours, the verdict and what it rests on."""
    seeds = list(seeds)
    values = [by_seed(records, metric) for metric in metrics]
    ours = tuple(mean_of([each[seed] for seed in seeds if seed in each]) for each in values if any(seed in each for seed in seeds))
    if cell == "undefined":
        return ours, "undefined", "the source has no number here"
    trouble = _trouble(records, seeds)
    if trouble is not None:
        return ours, *trouble
    if cell == "stuck":
        assert tolerance.stuck is not None  # checked when the file was read
        far = by_seed(records, tolerance.stuck.metric)
        least = min(far[seed] for seed in seeds)
        where = f"{tolerance.stuck.metric} {least:.3g}, and stuck is above {tolerance.stuck.above:g}"
        return ours, "matched" if least > tolerance.stuck.above else "not matched", where
    assert not isinstance(cell, str)
    verdict, said = _near(list(zip(metrics, cell, ours, strict=True)), tolerance)
    if verdict == "not matched" and witness is not None:
        allowed = [tolerance.of(metric, printed) for metric, printed in zip(metrics, cell, strict=True)]
        verdict = _heard(cell, [number.value for number in ours], witness.ends, allowed)
        said += f"; {sources[witness.source]}: {_between(witness.ends)} in {len(witness.ends)} runs"
    return ours, verdict, said


ENOUGH = 20
"""Runs of another implementation that show how far apart its ends lie: one more is outside of them once in ten times."""


def _heard(printed: Sequence[float], ours: Sequence[float], ends: Sequence[Sequence[float]], allowed: Sequence[float]) -> Verdict:
    """What another implementation says of an end of ours that is not the printed one, each number with what it is allowed."""
    ranges = [(min(column), max(column)) for column in zip(*ends, strict=True)]
    wide = any(high - low > room for (low, high), room in zip(ranges, allowed, strict=True))

    def agrees(numbers: Sequence[float], reach: Sequence[float]) -> bool:
        return all(low - room <= x <= high + room for x, (low, high), room in zip(numbers, ranges, reach, strict=True))

    if not agrees(ours, allowed):
        return "not matched"
    if wide:
        reach = list(allowed)
        if len(ends) < ENOUGH:  # a few runs do not show all of the spread: as much again on either side
            reach = [max(room, high - low) for (low, high), room in zip(ranges, allowed, strict=True)]
        return "undetermined" if agrees(printed, reach) else "contradicted"
    return "not matched" if agrees(printed, allowed) else "contradicted"


def _between(ends: Sequence[Sequence[float]]) -> str:
    """The ends that lie furthest apart by their first number; one where they print alike."""
    first, last = (", ".join(f"{number:.4g}" for number in end) for end in (min(ends, key=list), max(ends, key=list)))
    return f"({first})" if first == last else f"({first}) to ({last})"


def _near(compared: Sequence[tuple[str, float, Number]], tolerance: Tolerance) -> tuple[Verdict, str]:
    """Whether every number is within its tolerance of what is printed."""
    parts, near = [], True
    for metric, printed, ours in compared:
        allowed = tolerance.of(metric, printed)
        off = abs(ours.value - printed)
        near &= off <= allowed
        parts.append(f"{metric} off by {off:.2g} of {allowed:.2g}")
    return "matched" if near else "not matched", "; ".join(parts)


def _trouble(records: Sequence[RunRecord], seeds: Collection[int]) -> tuple[Verdict, str] | None:
    """Why these seeds give no number; nothing where all are there and finished."""
    here = [record for record in records if record.spec.seed in seeds]
    failed = [record for record in here if record.status not in FINISHED]
    if failed:
        first = failed[0]
        return "failed", f"{len(failed)} of {len(seeds)} runs failed: {first.status}, {first.message}"
    missing = set(seeds) - {record.spec.seed for record in here}
    return ("not run", f"{len(missing)} of {len(seeds)} runs are missing") if missing else None


def _relation(experiment: Experiment, relation: Relation, runs: Runs, count: int) -> Outcome:
    """A difference seed by seed with its interval: matched where all of it is on the claimed side."""
    told, seeds = experiment.told, range(count)
    records = runs.get((relation.problem, relation.row), ())
    others = runs.get((relation.problem, relation.than), ()) if isinstance(relation.than, str) else None
    than = relation.than if isinstance(relation.than, str) else f"{relation.than:g}"
    trouble = _trouble(records, seeds) or (_trouble(others, seeds) if others is not None else None)
    ours: tuple[Number, ...] = ()
    if trouble is None:
        mine = by_seed(records, relation.metric)
        theirs = by_seed(others, relation.metric) if others is not None else dict.fromkeys(seeds, float(relation.than))
        ours = tuple(mean_of([each[seed] for seed in seeds]) for each in ((mine, theirs) if others is not None else (mine,)))
        trouble = _side(mean_of([mine[seed] - theirs[seed] for seed in seeds]), relation.side)
    return Outcome(
        f"{relation.problem}: what is claimed of {relation.metric}",
        f"{relation.row} {relation.side} {than}",
        relation.metric,
        (relation.metric,),
        f"{relation.side} {than}",
        ours,
        *trouble,
        told.sources[relation.source],
        relation.note,
        relation.apart,
    )


def _side(difference: Number, side: Literal["below", "above"]) -> tuple[Verdict, str]:
    said = f"difference {difference.value:+.3g}"
    if math.isnan(difference.low):
        return "not matched", f"{said}, and one seed has no interval"
    said += f" [{difference.low:.3g}, {difference.high:.3g}], n={difference.n}"
    below, above = difference.high < 0, difference.low > 0
    if below if side == "below" else above:
        return "matched", said
    return "not matched", said + (": the other way round" if below or above else ": the two cannot be told apart")


def _printed(experiment: Experiment, printed: Printed, table: Table, runs: Runs, count: int, rows: Collection[str]) -> Iterator[Outcome]:
    """The cells of some rows of a published table, and Δm where there is single-task training to measure it against."""
    tolerance = experiment.told.tolerances[printed.tolerance]
    lines = {line.method: line for line in table.lines}
    changes = _changes(printed, table, runs) if printed.baseline is not None else {}
    for method, row in printed.rows.items():
        if rows and row not in rows:
            continue
        records = runs.get((printed.problem, row), ())
        trouble = _trouble(records, range(count))
        wanted = {name: (number, table.metrics[name].ours) for name, number in lines[method].cells.items()}
        if printed.baseline is not None and "Delta_m" in lines[method].printed:
            wanted["Delta_m"] = lines[method].printed["Delta_m"], "Delta_m"
        for name, (number, metric) in wanted.items():
            factor = printed.factors.get(name, 1.0)
            values = [value * factor for value in by_seed(records, metric).values()]
            mine = changes.get(row) if name == "Delta_m" else mean_of(values) if values else None
            ours = [mine] if mine is not None and trouble is None else []
            found: tuple[Verdict, str] | None = trouble or (
                None if ours else ("not run", "there is no single-task training to compare with")
            )
            verdict, said = found or _near([(name, float(number.value), ours[0])], tolerance)
            yield Outcome(table.title, method, name, (metric,), number.text, tuple(ours), verdict, said, table.source, printed.note)


def _changes(printed: Printed, table: Table, runs: Runs) -> dict[str, Number]:
    """Δm of every row against our own single-task training; rows that lack a run have none."""
    from benchmark.published.beside import beside  # numpy

    mine = {row: runs.get((printed.problem, row), ()) for row in {*printed.rows.values(), printed.baseline or ""}}
    labels = {records[0].spec.entrant: row for row, records in mine.items() if records}
    found, _ = beside([record for records in mine.values() for record in records], table)
    return {
        labels[each.entrant]: Number(each.delta_m.value, each.delta_m.low, each.delta_m.high, each.seeds)
        for each in found
        if each.complete and not each.reference and not math.isnan(each.delta_m.value)
    }


def recomputed(table: Table) -> Iterator[Outcome]:
    """The summaries that a published table prints, against what its own cells allow. Nothing is trained."""
    from benchmark.published.views import SYMBOL, as_printed

    recount = recompute(table)
    for row in recount.rows:
        for name, summary in row.summaries.items():
            if summary.printed is None:
                continue
            ours = () if math.isnan(summary.value) else (Number(summary.value, math.nan, math.nan, 1),)
            allowed = "" if math.isnan(summary.low) else f"its cells allow {summary.low:.2f} to {summary.high:.2f}"
            verdict: Verdict = {"agrees": "matched", "contradicted": "contradicted", "": "undefined"}[summary.verdict]  # type: ignore[assignment]
            said = allowed if ours else "; ".join(recount.missing) or "its cells do not give it"
            note = table.remarks.get(row.line.method, "") if verdict == "contradicted" else ""
            yield Outcome(
                f"{table.name}: {table.title}",
                row.line.method,
                SYMBOL[name],
                (name,),
                as_printed(summary, mark=False),
                ours,
                verdict,
                said,
                table.source,
                note,
            )
