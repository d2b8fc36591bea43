"""Published experiments as files: what was trained, what was printed, how near is near enough, and why.

``scripts/reproduce/NAME.toml`` begins like a suite (``name``, ``version``, ``summary``, ``[protocol]``, ``[[problems]]``: see
:mod:`tasks.suites`); its records carry its name as their suite's. Then:

    title = "..."                               # of the experiment
    device = "cuda"                             # optional: it is not run without
    timeout = 3600                              # optional: seconds of one trial
    step_seconds = { nyuv2 = 0.3 }              # optional: of equal weights, for the cost estimate, with where they come from:
    step_source = "..."
    methods = ["FILE.py"]                       # optional: method files beside this one
    differs = ["..."]                           # optional: what is not as in the source, one line each

    [sources]                                   # where a number is printed; every cell names one
    paper = "Table 2 of ..."

    [tolerances.near]                           # how near is near enough, and why
    within = { "first/loss" = 0.02 }            # absolute, by metric; or percent = 5, of the printed number
    stuck = { metric = "front_distance", above = 1.0 }   # what "stuck" in a table means
    reason = "..."

    [entrants]                                  # the rows, by the name that the source has for them
    CAGrad = { method = "cagrad", set = { c = 0.5 } }

    [[tables]]                                  # printed numbers: a row an entrant, a column a seed
    problem = "two_objective"
    source = "paper"
    tolerance = "near"
    metrics = ["first/loss", "second/loss"]     # a cell has one number for each, or is "stuck" or "undefined"
    columns = ["(9, 9)", "(0, 0)"]              # seeds 0, 1, ...; without it one column: the mean over all seeds
    apart = true                                # optional, of relations too: counted apart, as a second implementation or a finding of ours
    [tables.rows]
    CAGrad = [[-0.38, -19.83], "stuck"]
    [[tables.notes]]
    row = "CAGrad"
    column = "(9, 9)"                           # optional
    text = "why ours differs"
    [[tables.witnesses]]                        # where another implementation of the same recipe ends, in several runs
    row = "CAGrad"
    column = "(0, 0)"
    source = "simulation"
    ends = [[-0.38, -19.83], [-0.39, -19.84]]   # a run each, a number for each metric; a printed end that they deny is "contradicted"

    [[relations]]                               # what a source claims without a number
    problem = "gradnorm_toy"
    metric = "task_normalised_loss"
    row = "GradNorm"
    is = "below"                                # or "above"
    than = "Equal weights"                      # a row, seed by seed, or a number
    source = "paper"
    note = "..."                                # optional

    [[printed]]                                 # cells of a table under results/published
    table = "nyuv2_segnet_ntkmtl"
    problem = "nyuv2"
    tolerance = "near"
    factors = { mIoU = 100 }                    # optional: what turns our metric into the table's unit
    rows = { LS = "Equal weights" }             # its rows, by entrant
    baseline = "STL"                            # optional: the entrant that Δm is against; then Δm is compared too, by within.Delta_m

An experiment without problems may recompute the summaries of published tables instead: ``published = ["NYUv2"]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

import methods as registry
import tasks
from benchmark.errors import UsageError
from benchmark.records import Value

FOLDER = Path(__file__).resolve().parents[1] / "scripts" / "reproduce"
"""The experiments that come with the repository."""

Cell = list[float] | str
"""A number for each metric, or one of these."""
WORDS = ("stuck", "undefined")


class Stuck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run that does not reach the front ends with more of this metric."""

    metric: str
    above: float


class Tolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far ours may be from what is printed."""

    reason: str
    within: dict[str, float] = {}
    percent: float | None = None
    stuck: Stuck | None = None

    def of(self, metric: str, printed: float) -> float:
        """In the unit of the printed number."""
        if metric in self.within:
            return self.within[metric]
        assert self.percent is not None  # checked when the file was read
        return abs(printed) * self.percent / 100


class Entrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row: a method with what is not its default."""

    method: str
    set: dict[str, Value] = {}


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On a row of a table, or on one of its cells."""

    row: str
    text: str
    column: str | None = None


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What another implementation of a recipe gives for one cell: a list of numbers, one a metric, for each of several runs."""

    row: str
    column: str
    source: str
    ends: list[list[float]]


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A printed table."""

    problem: str
    source: str
    tolerance: str
    metrics: list[str]
    rows: dict[str, list[Cell]]
    columns: list[str] = []
    """A seed each; none: the mean over all seeds."""
    title: str = ""
    apart: bool = False
    notes: list[Note] = []
    witnesses: list[Witness] = []

    def witness(self, row: str, column: str) -> Witness | None:
        return next((each for each in self.witnesses if (each.row, each.column) == (row, column)), None)

    def note(self, row: str, column: str) -> str:
        """What is said of a cell, and of its row."""
        return " ".join(note.text for note in self.notes if note.row == row and note.column in (None, column))


class Relation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A claim without a number."""

    problem: str
    metric: str
    row: str
    side: Literal["below", "above"] = msgspec.field(name="is")
    than: str | float
    source: str
    note: str = ""
    apart: bool = False


class Printed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows of a table under results/published that are trained again."""

    table: str
    problem: str
    tolerance: str
    rows: dict[str, str]
    factors: dict[str, float] = {}
    baseline: str | None = None
    """The entrant that trains every task alone: then Δm is compared, too."""
    note: str = ""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole file, as it is written."""

    name: str
    version: int
    summary: str
    title: str
    protocol: dict[str, Any] = {}
    problems: list[dict[str, Any]] = []
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    timeout: float = 3600.0
    step_seconds: dict[str, float] = {}
    step_source: str = ""
    methods: list[str] = []
    differs: list[str] = []
    sources: dict[str, str] = {}
    tolerances: dict[str, Tolerance] = {}
    entrants: dict[str, Entrant] = {}
    tables: list[Numbers] = []
    relations: list[Relation] = []
    printed: list[Printed] = []
    published: list[str] = []


@dataclass(frozen=True, slots=True)
class Experiment:
    """A file that was read and holds together; methods and settings are checked when it is planned."""

    path: Path
    title: str
    summary: str
    suite: tasks.Suite | None
    """None where nothing is trained."""
    told: Document

    @property
    def name(self) -> str:
        return self.told.name

    @property
    def files(self) -> tuple[str, ...]:
        """Method files, which lie beside the experiment's."""
        return tuple(str(self.path.parent / name) for name in self.told.methods)

    def rows(self, problem: str) -> list[str]:
        """Names of the entrants that this problem needs, in the order of the file."""
        needed = {row for table in self.told.tables if table.problem == problem for row in table.rows}
        for printed in (each for each in self.told.printed if each.problem == problem):
            needed |= {*printed.rows.values(), *([printed.baseline] if printed.baseline else [])}
        for relation in (each for each in self.told.relations if each.problem == problem):
            needed |= {relation.row, *([relation.than] if isinstance(relation.than, str) else [])}
        return [name for name in self.told.entrants if name in needed]


def shipped(folder: Path = FOLDER) -> dict[str, Path]:
    """The experiments of a folder, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(name: str, folder: Path = FOLDER) -> Path:
    """The file of an experiment that comes with the repository (case does not matter), or FILE.toml itself.

    Raises:
        UsageError: there is none.
    """
    if name.endswith(".toml"):
        return Path(name)
    known = shipped(folder)
    found = {each.casefold(): path for each, path in known.items()}.get(name.casefold())
    if found is None:
        hint = registry.suggestion(name, known)
        raise UsageError(f"nothing to reproduce is called {name!r}{hint} (list them: python -m benchmark reproduce), or give a FILE.toml")
    return found
