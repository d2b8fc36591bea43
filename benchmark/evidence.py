"""What tables are made of: records, or of packed ones their light columns, so that nothing heavier is read than what is asked for.

Three forms, one meaning. A :class:`RunRecord` is everything. A :class:`Light` is one packed record without its curve and events. A
:class:`Series` is many packed evaluation records that differ in their seed alone, as arrays: where a rule depends on the configuration
only, it is asked once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, overload

import msgspec

from benchmark.records import Cost, MetricInfo, Point, Role, RunRecord, Selection, Status, TrialSpec, Value

if TYPE_CHECKING:
    from benchmark.statistics import Floats


class Setting(Protocol):
    """A spec without its seed, and so without its id: all that runs of one configuration share."""

    @property
    def suite(self) -> str: ...
    @property
    def problem(self) -> str: ...
    @property
    def problem_version(self) -> int: ...
    @property
    def data(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def method_version(self) -> int: ...
    @property
    def release(self) -> str | msgspec.UnsetType: ...
    @property
    def entrant(self) -> str: ...
    @property
    def hyperparameters(self) -> dict[str, Value]: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def trial(self) -> int: ...
    @property
    def role(self) -> Role: ...
    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def halve_every(self) -> int | msgspec.UnsetType: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def selection(self) -> Selection: ...
    @property
    def precision(self) -> str: ...
    @property
    def engine(self) -> str | msgspec.UnsetType: ...
    @property
    def search(self) -> str | msgspec.UnsetType: ...
    @property
    def study_seed(self) -> int | msgspec.UnsetType: ...
    @property
    def protocol(self) -> int: ...
    @property
    def age(self) -> tuple[int, list[str | int]]: ...


Read = Callable[[str], Sequence[Point]]
"""From an id to the record's curve."""


class Curve(Sequence[Point]):
    """The curve of a packed record, read when it is first looked at.

    Looking at it raises StoreError where it cannot be read.
    """

    __slots__ = ("_id", "_points", "_read")

    def __init__(self, read: Read, id_: bytes) -> None:
        self._read, self._id = read, id_
        self._points: Sequence[Point] | None = None

    @property
    def points(self) -> Sequence[Point]:
        if self._points is None:
            self._points = self._read(self._id.hex())
        return self._points

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        return self.points[index]


class Light(msgspec.Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """One packed record, without what is heavy."""

    id: str
    spec: TrialSpec
    status: Status
    tasks: list[str]
    trained: list[int]
    metrics: dict[str, MetricInfo]
    environment: dict[str, str]
    validation: dict[str, float]
    test: dict[str, float]
    cost: Cost | None
    """Without ``paths`` and ``compilation``."""
    loss: float | None
    curve: Sequence[Point]

    @property
    def seeds(self) -> tuple[int]:
        return (self.spec.seed,)

    @property
    def ids(self) -> tuple[str]:
        return (self.id,)

    @property
    def count(self) -> int:
        return 1


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """Packed evaluation records that share everything but the seed and what came of it, by rising seed; arrays have a row each."""

    spec: Setting
    tasks: list[str]
    trained: list[int]
    metrics: dict[str, MetricInfo]
    environment: dict[str, str]
    seeds: list[int]
    statuses: list[Status]
    test: Floats
    """[records, metrics]; nan where a record has none."""
    steps: Floats
    """[records]; nan where a record has no cost. So are the next five."""
    backward_passes: Floats
    peak_memory: Floats
    train: Floats
    method: Floats
    evaluation: Floats
    raw_ids: bytes
    """10 a record."""
    spec_of: Callable[[int], TrialSpec]
    """From a seed to the whole spec."""
    read: Read

    @property
    def count(self) -> int:
        return len(self.seeds)

    @property
    def ids(self) -> list[str]:
        return [self.raw_ids[start : start + 10].hex() for start in range(0, len(self.raw_ids), 10)]

    def curves(self) -> Iterator[Curve]:
        return (Curve(self.read, self.raw_ids[start : start + 10]) for start in range(0, len(self.raw_ids), 10))

    def singles(self) -> Iterator[Light]:
        """Its records one by one."""
        keys = list(self.metrics)
        columns = (self.steps, self.backward_passes, self.peak_memory, self.train, self.method, self.evaluation)
        costs = zip(*(column.tolist() for column in columns), strict=True)
        rows = zip(self.ids, self.seeds, self.statuses, self.test.tolist(), costs, self.curves(), strict=True)
        for id_, seed, status, row, cost, curve in rows:
            yield Light(
                id=id_,
                spec=self.spec_of(seed),
                status=status,
                tasks=self.tasks,
                trained=self.trained,
                metrics=self.metrics,
                environment=self.environment,
                validation={},
                test={key: value for key, value in zip(keys, row, strict=True) if value == value},
                cost=cost_of(*cost),
                loss=None,
                curve=curve,
            )


One: TypeAlias = RunRecord | Light
"""A single record, as far as a table needs it."""
Evidence: TypeAlias = RunRecord | Light | Series
E = TypeVar("E", bound=RunRecord | Light | Series)
S = TypeVar("S", bound=RunRecord | Light)


def first(evidence: Evidence) -> tuple[int, str]:
    """Seed and id of its first record: what is sorted by them has the same order in all forms."""
    return evidence.seeds[0], evidence.raw_ids[:10].hex() if isinstance(evidence, Series) else evidence.ids[0]


def cost_of(steps: float, passes: float, memory: float, train: float, method: float, evaluation: float) -> Cost | None:
    """From the numbers of the columns; nan where there is none."""
    if math.isnan(steps):
        return None
    peak = None if math.isnan(memory) else int(memory)
    return Cost(train=train, method=method, evaluation=evaluation, steps=int(steps), backward_passes=int(passes), peak_memory=peak)


def singles(evidence: Iterable[Evidence]) -> Iterator[One]:
    """Every record by itself."""
    for each in evidence:
        if isinstance(each, Series):
            yield from each.singles()
        else:
            yield each
