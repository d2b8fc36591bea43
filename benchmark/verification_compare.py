"""A record against what came of running its trial again: alike to the last digit, within a tolerance, or not the same.

On the same platform a run repeats to the bit, so that one other digit is one too many. Elsewhere sums are taken in another order. What
that does was measured on 14 trials of ``results/standard``, of 120 to 2,000 steps: again on the same CPU with every vector instruction
switched off, again with two threads, and three of them with ten seeds in one pass. At the first point, after a tenth of the steps (12 to
200), losses and weights then differ by up to 6e-6, relative, but 3e-3 for a convolutional network with batch normalisation. From there
differences grow, as training is chaotic: in the end losses differ by up to 70 %, while no test metric is further off than 2.6 standard
deviations of what other seeds give. So elsewhere a first point within ``EARLY`` steps has to agree within ``TOLERANCE``, and each metric
at the end within ``TOLERANCE`` or, where that is more, so many standard deviations over the row's seeds: ``SPREAD`` where the two runs have
parted by the selected step, ``CLOSE`` where they are still within ``PARTED`` of each other there, none where they are equal to the last
digit, as then the place that the record names has changed nothing. What is further off than ``SPREAD``, but not so far that two seeds
never are (``NEVER``), is left undecided: few seeds say little of their spread.
The spread is that of the other records and of what has been run again, never of the record in question: one that is far off would excuse
itself.
Of pairs of records that differ in their seed alone, 36 of 4,680 in that folder pass for each other by these rules, all of them of one toy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from benchmark.records import FINISHED, Point, RunRecord, timeless

TOLERANCE = 1e-2
"""Relative, of the losses and weights at the first point; three times the largest difference seen."""
EARLY = 200
"""Steps after which the first point is no more compared like that."""
SPREAD = 4.0
"""Standard deviations over seeds; the largest difference seen is 2.6."""
CLOSE = 1.0
"""Standard deviations over seeds for runs that have not parted: a right answer more or less."""
PARTED = 1e-4
"""Relative."""
NEVER = 1e-3
"""Chance that two independent runs are further apart than what fails."""
LEAST = 3
"""Seeds without which nothing is known of their spread."""

Result = Literal["identical", "within", "off", "unclear"]
_SMOOTH = ("train_losses", "validation_losses", "weights", "score")
"""What a small difference changes by little; a share of signs or of right answers may jump."""
ENDS = frozenset({"error", "oom", "timeout"})
"""Statuses that may come of the machine, or of what is installed on it."""
_FLOOR = 1e-6
"""Numbers below it are compared as if they were of this size."""


@dataclass(frozen=True)
class Compared:
    """What came of it, and in words what differs."""

    result: Result
    words: str = ""
    gaps: tuple[tuple[str, float, float], ...] = ()
    """Of the metrics that only the spread over seeds excuses: key, difference, and the standard deviations that it may be."""


@dataclass(slots=True)
class Spread:
    """Mean and standard deviation of what one metric is over seeds, one value at a time."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        gap = value - self.mean
        self.mean += gap / self.count
        self.squares += gap * (value - self.mean)

    def replaced(self, old: float, new: float) -> Spread:
        """With one value in the place of another that is among them."""
        if self.count < 2:
            return Spread(1, new, 0.0)
        rest = Spread(self.count - 1, (self.count * self.mean - old) / (self.count - 1))
        rest.squares = max(0.0, self.squares - (old - self.mean) * (old - rest.mean))
        rest.add(new)
        return rest

    @property
    def far(self) -> float:
        """Standard deviations that two of the values differ by with a chance of NEVER, by Student's t."""
        from scipy.special import stdtrit

        return math.sqrt(2) * float(stdtrit(self.count - 1, 1 - NEVER / 2))

    @property
    def deviation(self) -> float | None:
        """None for too few seeds."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count >= LEAST else None


def exactly(record: RunRecord, again: RunRecord) -> Compared:
    """For the platform of the record: every number but seconds and memory."""
    if record.status != again.status and {record.status, again.status} & ENDS:
        return Compared("unclear", f"it ended as {record.status}, and here as {_end(again)}")
    differ = list(_differences(record, _as_told(record, again)))
    return Compared("off", _words(differ)) if differ else Compared("identical")


def loosely(record: RunRecord, again: RunRecord, spreads: Mapping[str, Spread], tolerance: float = TOLERANCE) -> Compared:
    """For another platform; ``spreads`` are those of the test metrics over the seeds of the configuration."""
    if not list(_differences(record, _as_told(record, again))):
        return Compared("identical")
    if record.status != again.status and {record.status, again.status} - FINISHED:
        return Compared("unclear", f"it ended as {record.status}, and here as {_end(again)}: on another platform either may happen")
    exact = [each for each in _differences(_frame(record), _frame(_as_told(record, again))) if each[0] != "message"]
    if exact:
        return Compared("off", _words(exact))
    if record.curve and again.curve and record.curve[0].step <= EARLY:
        numbers = [each for each in _point(record.curve[0], again.curve[0]) if each[0].startswith(_SMOOTH)]
        first = [each for each in numbers if not _near(each[1], each[2], tolerance)]
        if first:
            return Compared("off", f"{_words(first)}, at the first point, where {tolerance:g} relative is allowed")
    return _ends(record, again, spreads, tolerance)


def scattered(record: RunRecord, again: RunRecord) -> bool:
    """Whether two curves differ at most of their points, as on two platforms: an edit changes some numbers and leaves the others."""
    points = [any(a != b for _, a, b in _point(one, two)) for one, two in zip(record.curve, again.curve, strict=False)]
    return sum(points) > len(points) / 2


def _end(record: RunRecord) -> str:
    return f"{record.status} ({record.message})" if record.message else record.status


def _ends(record: RunRecord, again: RunRecord, spreads: Mapping[str, Spread], tolerance: float) -> Compared:
    doubt, reach, gaps = "", _reach(record, again), []
    for split, mine, other in (("test", record.test, again.test), ("validation", record.validation, again.validation)):
        for key in sorted(mine):
            if key in other and _near(mine[key], other[key], tolerance):
                continue
            words = f"{split} {key} {mine[key]!r} in the record, {other.get(key)!r} when run again"
            if key not in other or not reach:
                return Compared(
                    "off", f"{words}, though the runs are equal to the last digit at the selected step" if key in other else words
                )
            spread = spreads[key].replaced(record.test[key], again.test[key]) if key in spreads and key in record.test else None
            found, said = excess(spread, abs(mine[key] - other[key]), reach)
            if found == "off":
                return Compared("off", f"{words}{said}")
            if found == "unclear":
                doubt = f"{words}{said}"
            gaps.append((key, abs(mine[key] - other[key]), reach))
    return Compared("unclear", doubt) if doubt else Compared("within", "", tuple(gaps))


def excess(spread: Spread | None, gap: float, reach: float) -> tuple[Result, str]:
    """What a difference comes to that only the spread over seeds can excuse, and in words why it does not."""
    if spread is None or spread.deviation is None:
        return "unclear", ", and there are too few seeds to know what they may differ by"
    said = f"standard deviations ({spread.deviation:.3g}) over seeds"
    if gap > (spread.far if reach > CLOSE else reach) * spread.deviation:
        return "off", f", which is more than {spread.far if reach > CLOSE else reach:.3g} {said}"
    if gap > reach * spread.deviation:
        return (
            "unclear",
            f", which is more than {reach:g} {said} of {spread.count}: too far to be sure, and too few seeds to be sure of more",
        )
    return "within", ""


def _reach(record: RunRecord, again: RunRecord) -> float:
    """Standard deviations over seeds that a metric may be off, by how far the runs have parted at the selected step."""
    mine, other = ({point.step: point for point in each.curve}.get(each.selected_step or 0) for each in (record, again))
    if mine is None or other is None:
        return SPREAD
    numbers = [(a, b) for name, a, b in _point(mine, other) if name.startswith(_SMOOTH)]
    if all(a == b for a, b in numbers):
        return 0.0
    return CLOSE if all(_near(a, b, PARTED) for a, b in numbers) else SPREAD


def _frame(record: RunRecord) -> RunRecord:
    """What does not depend on rounding."""
    cost = record.cost and msgspec.structs.replace(record.cost, train=0.0, method=0.0, evaluation=0.0, peak_memory=None)
    cost = cost and msgspec.structs.replace(cost, compilation=msgspec.UNSET, paths={})
    blank: dict[str, Any] = {
        "curve": [],
        "selected_step": None,
        "validation": {},
        "test": {},
        "events": {},
        "environment": {},
        "cost": cost,
    }
    return msgspec.structs.replace(record, status="ok", **blank)


def _as_told(record: RunRecord, again: RunRecord) -> RunRecord:
    """The new run without what records of then did not have, and without the words of an error, which may name places in memory."""
    curve = []
    for index, point in enumerate(again.curve):
        old = record.curve[index] if index < len(record.curve) else point
        absent = {name: msgspec.UNSET for name in ("cosine", "conflicts", "metrics") if getattr(old, name) is msgspec.UNSET}
        curve.append(msgspec.structs.replace(point, **absent))
    metrics = {
        key: msgspec.structs.replace(info, compared=record.metrics[key].compared) if key in record.metrics else info
        for key, info in again.metrics.items()
    }
    message = record.message if record.status == again.status == "error" else again.message
    return msgspec.structs.replace(again, curve=curve, metrics=metrics, message=message)


_Difference = tuple[str, object, object]


def _differences(record: RunRecord, again: RunRecord) -> Iterator[_Difference]:
    """What is not equal, with both values; test metrics first."""
    one, two = timeless(record), timeless(again)
    for name in ("test", "validation"):
        a, b = getattr(one, name), getattr(two, name)
        yield from ((f"{name} {key}", a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key))
    for name in ("status", "selected_step", "message", "tasks", "trained", "events", "cost", "metrics"):
        a, b = getattr(one, name), getattr(two, name)
        if a != b:
            yield (name, a, b)
    if len(one.curve) != len(two.curve):
        yield ("points of the curve", len(one.curve), len(two.curve))
    for first, second in zip(one.curve, two.curve, strict=False):
        yield from (each for each in _point(first, second) if each[1] != each[2])


def _point(one: Point, two: Point) -> Iterator[_Difference]:
    """All numbers of two points, with what they are."""
    for name in ("train_losses", "validation_losses", "weights"):
        a, b = getattr(one, name), getattr(two, name)
        if len(a) != len(b):
            yield (f"{name} at step {one.step}", a, b)
        else:
            yield from ((f"{name}[{index}] at step {one.step}", *pair) for index, pair in enumerate(zip(a, b, strict=True)))
    for name in ("score", "cosine", "conflicts"):
        yield (f"{name} at step {one.step}", getattr(one, name), getattr(two, name))
    if isinstance(one.metrics, dict) and isinstance(two.metrics, dict):
        for key in sorted(one.metrics.keys() | two.metrics.keys()):
            yield (f"{key} at step {one.step}", one.metrics.get(key), two.metrics.get(key))


def _near(one: object, two: object, tolerance: float) -> bool:
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return abs(one - two) <= tolerance * max(abs(one), abs(two), _FLOOR)
    return one is msgspec.UNSET or two is msgspec.UNSET or one == two


def _words(differ: list[_Difference]) -> str:
    name, mine, other = differ[0]
    more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
    return f"{name} {mine!r} in the record, {other!r} when run again{more}"
