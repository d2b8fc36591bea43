"""The two documents that everything is made of: the trial that was asked for and the record of what came of it.

The format is the documentation: every field says its unit and meaning, and a record that breaks a rule is refused when it is read.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Literal

import msgspec

SCHEMA = 1
PROTOCOL = 1
"""Grows whenever the training loop or the evaluation would give other numbers for the same spec."""

Role = Literal["tune", "eval"]
Status = Literal["ok", "diverged", "degraded", "oom", "timeout", "error", "stopped"]
"""``stopped``: a scheduler ended the run early, as others were better."""
Selection = Literal["best", "last"]
Optimizer = Literal["adam", "sgd"]
Value = float | int | str | bool

FINISHED: frozenset[Status] = frozenset({"ok", "degraded"})
"""Statuses whose metrics count; every other one is a failure, which is a row too."""


def failed(status: Status) -> bool:
    """Whether a run came to grief; one that its scheduler stopped did not."""
    return status not in FINISHED and status != "stopped"


class TrialSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run, completely: whatever can change its losses or metrics is a field here, and nothing else is."""

    suite: str
    problem: str
    problem_version: int
    data: str
    """Fingerprint of the problem's data."""
    method: str
    method_version: int
    release: str | msgspec.UnsetType = msgspec.UNSET
    """Version of the code that an adapted object comes from, as in ``torchjd 0.18.0``; absent for a method of the registry."""
    entrant: str
    """The row of the table this run belongs to: the method's name and what the user pinned, as in ``gradnorm(alpha=0.12)``."""
    hyperparameters: dict[str, Value]
    """Every hyperparameter of the method, defaults included."""
    learning_rate: float
    trial: int = 0
    """Index of this configuration in the method's search; 0 is the published defaults with what the user pinned."""
    optimizer: Optimizer = "adam"
    """``sgd``: plain gradient steps, without momentum."""
    role: Role
    seed: int
    steps: int
    batch_size: int
    halve_every: int | msgspec.UnsetType = msgspec.UNSET
    """Steps after which the learning rate is halved, again and again; absent where it is constant."""
    eval_every: int
    """Steps between two evaluations on the validation split."""
    selection: Selection
    """Which evaluation the metrics are taken from: the best by the normalised validation loss, or the last."""
    precision: Literal["float32"] = "float32"
    engine: Literal["vectorized"] | msgspec.UnsetType = msgspec.UNSET
    """How the seeds were trained: absent where each was alone."""
    together: int | msgspec.UnsetType = msgspec.UNSET
    """Seeds that the vectorized engine trains in one pass: the block of this many, counted from 0, that the seed is in."""
    search: Literal["grid", "optuna", "asha"] | msgspec.UnsetType = msgspec.UNSET
    """What proposed the configuration; absent for the quasi-random sequence (and for trial 0, the published defaults)."""
    study_seed: int | msgspec.UnsetType = msgspec.UNSET
    """Seed of the search that proposed the configuration; absent for 0, for a grid, and for trial 0."""
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, float):  # 1 and 1.0 are one trial, but not one JSON
            raise TypeError(f"learning_rate is {self.learning_rate!r}; expected a float")

    @property
    def age(self) -> tuple[int, list[str | int]]:
        """Grows with the version and then the release of the method: numbers in a release count as numbers."""
        release = self.release if isinstance(self.release, str) else ""
        return self.method_version, [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", release)]

    @property
    def id(self) -> str:
        """Hash of the canonical JSON: 20 hexadecimal digits."""
        canonical = msgspec.json.encode(self, order="deterministic")
        return hashlib.blake2b(canonical, digest_size=10).hexdigest()


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a reader must know to compare a metric; kept in the record so that it can be read without the problem's code."""

    higher_is_better: bool
    low: float | None = None
    high: float | None = None
    task: str | None = None
    """None for a metric of the whole problem, which Δm leaves out."""
    compared: bool = True
    """Whether Δm compares it where it is a task's own; records from before this field compare all of those."""


class Point(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One evaluation on the way. Numbers that are not finite are null."""

    step: int
    """Steps done."""
    train_losses: list[float | None]
    """Unweighted, mean over the steps since the previous point."""
    validation_losses: list[float | None]
    weights: list[float | None]
    """Weights of the tasks, scale and priority included, mean over the steps since the previous point; empty where there are none."""
    score: float | None
    """Mean over the trained tasks of validation loss / loss of the best constant; what ``selection='best'`` minimises."""
    seconds: float
    """Training time so far (evaluation left out)."""
    cosine: float | msgspec.UnsetType = msgspec.UNSET
    """Mean cosine between the gradients of two tasks, over all pairs and the steps since the previous point; absent where the method did
    not have to look at the gradients' Gramian, where seeds were trained together, and from records before this field."""
    conflicts: float | msgspec.UnsetType = msgspec.UNSET
    """Share of those cosines that are negative."""
    metrics: dict[str, float | None] | msgspec.UnsetType = msgspec.UNSET
    """On the validation split, of the trained tasks; absent from records before this field."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Seconds of wall clock and what they were spent on.

    Of seeds that were trained together: those of the pass over the number of seeds that were training, evaluation apart.
    """

    train: float
    """Data, forward pass and optimizer; of seeds that were trained together also all gradients."""
    method: float
    """Everything inside ``balancer.backward``: gradients and weights; of seeds that were trained together the weights alone."""
    evaluation: float
    steps: int
    """Steps that were done; step time is (train + method) / steps."""
    backward_passes: int
    """Passes through the shared trunk."""
    paths: dict[str, int] = {}
    """How the task gradients were taken (rows of J, layer by layer, ...), and in how many steps; empty for a method without them."""
    peak_memory: int | None = None
    """Bytes: of the device on CUDA, of the process on the CPU where the system tells."""
    compilation: float | msgspec.UnsetType = msgspec.UNSET
    """Of seeds that were trained together: what compiling the step took, 0 where a run before in that process had done it."""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of a trial. Failures are records too."""

    schema: int = SCHEMA
    id: str
    spec: TrialSpec
    status: Status
    message: str = ""
    """One line on why, for anything but ``ok``."""
    tasks: list[str] = []
    """Names of the problem's tasks, in the order of every per-task list."""
    trained: list[int] = []
    """Indices of the tasks that this run trained (one for single-task training)."""
    metrics: dict[str, MetricInfo] = {}
    curve: list[Point] = []
    selected_step: int | None = None
    validation: dict[str, float] = {}
    test: dict[str, float] = {}
    """Role ``eval`` only: tuning never sees the test split."""
    cost: Cost | None = None
    events: dict[str, int] = {}
    """What the method had to put up with, counted: clamped losses, solver certificates that failed."""
    environment: dict[str, str] = {}

    @property
    def ids(self) -> tuple[str]:
        """A sequence, as what stands for several records has of this name; so is ``seeds``, and ``count`` says how many."""
        return (self.id,)

    @property
    def seeds(self) -> tuple[int]:
        return (self.spec.seed,)

    @property
    def count(self) -> int:
        return 1

    @property
    def loss(self) -> float | None:
        """The normalised validation loss at the selected step."""
        return next((point.score for point in self.curve if point.step == self.selected_step), None)


class BadRecord(ValueError):
    """A record that cannot be believed; the message says why in one line."""


def encode(record: RunRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def decode(data: bytes) -> RunRecord:
    """Parses and checks one record.

    Raises:
        BadRecord: not JSON, not this schema, an id that is not its spec's, test metrics in a tuning run, or a metric out of range.
    """
    try:
        record = msgspec.json.decode(data, type=RunRecord)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRecord(_other_schema(data) or f"not a record: {error}") from error
    if record.schema != SCHEMA:
        raise BadRecord(_other_schema(data))
    check(record)
    return record


def _other_schema(data: bytes) -> str:
    """What to say of a record of another schema, or of none; nothing where it is of this one."""
    try:
        version = msgspec.json.decode(data, type=_Version).schema
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return f"not a record: {error}"
    return "" if version == SCHEMA else f"schema {version}, but this LossBench reads schema {SCHEMA}: update LossBench or the record"


class _Version(msgspec.Struct):
    schema: int


def check(record: RunRecord) -> None:
    """Raises BadRecord where a record contradicts itself."""
    if record.id != record.spec.id:
        raise BadRecord(f"id {record.id} does not match its spec, whose id is {record.spec.id}: the spec was edited")
    if record.spec.role == "tune" and record.test:
        raise BadRecord("a tuning run carries test metrics: selection must not see the test split")
    for split, values in (("validation", record.validation), ("test", record.test)):
        for key, value in values.items():
            info = record.metrics.get(key)
            if info is None:
                raise BadRecord(f"{split} metric {key!r} is not declared")
            low = -math.inf if info.low is None else info.low
            high = math.inf if info.high is None else info.high
            if not low <= value <= high:
                raise BadRecord(f"{split} metric {key!r} is {value!r}, outside its legal range [{low}, {high}]")


def timeless(record: RunRecord) -> RunRecord:
    """The record without what another run of the same trial may change: seconds, peak memory, and where it was made."""
    cost = record.cost and msgspec.structs.replace(
        record.cost, train=0.0, method=0.0, evaluation=0.0, peak_memory=None, compilation=msgspec.UNSET
    )
    curve = [msgspec.structs.replace(point, seconds=0.0) for point in record.curve]
    return msgspec.structs.replace(record, cost=cost, curve=curve, environment={})


def same(a: RunRecord, b: RunRecord) -> bool:
    """Whether two records are equal but for the clock and the place."""
    return timeless(a) == timeless(b)


class Brief(msgspec.Struct, frozen=True, gc=False):
    """Of a record, what an overview needs; five times as fast to read, and not checked."""

    id: str
    status: Status
    cost: Cost | None = None

    @property
    def seconds(self) -> float | None:
        """That the trial took."""
        return None if self.cost is None else self.cost.train + self.cost.method + self.cost.evaluation


def decode_brief(data: bytes) -> Brief:
    """Raises BadRecord for what is no whole JSON, or lacks one of these."""
    try:
        return msgspec.json.decode(data, type=Brief)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRecord(f"not a record: {error}") from error
