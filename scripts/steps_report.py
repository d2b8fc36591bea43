"""What `bench_steps` writes: a CSV of one row a cell, method and clock, and Markdown tables by model and batch size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import csv_rows
from steps_models import Cell

import methods


@dataclass(frozen=True)
class Row:
    """A median ratio to equal weights with its quartiles over n rounds; ``ms`` and ``backward_passes`` are those of a step.

    ``implementation`` is ``lossbench``, ``torchjd``, ``plain`` (a loop without a library) or ``floor``; ``clock`` is ``cpu`` or ``wall``;
    ``target`` is the largest ratio that is no miss, ``conflicts`` the share of pairs of task gradients that conflict.
    """

    model: str
    batch: int
    tasks: int
    method: str
    implementation: str
    clock: str
    ratio: float
    q25: float
    q75: float
    n: int
    ms: float
    backward_passes: int
    target: float | None
    conflicts: float
    torch: str
    cpu: str
    date: str

    @property
    def cell(self) -> Cell:
        return Cell(self.model, self.batch, self.tasks)

    @property
    def what(self) -> tuple[object, ...]:
        """What no two rows of a file have in common."""
        return self.cell, self.method, self.implementation, self.clock

    @property
    def missed(self) -> bool:
        return self.target is not None and self.ratio > self.target


def write(folder: Path, rows: Sequence[Row]) -> None:
    csv_rows.write(folder / "steps.csv", Row, rows)
    (folder / "steps.md").write_text(markdown(rows), encoding="utf-8")


def read(folder: Path) -> list[Row]:
    """What an earlier run has written; nothing where there was none."""
    return csv_rows.read(folder / "steps.csv", Row)


INTRODUCTION = """# What a step costs

Written by `scripts/bench_steps`. One training step over one under equal weights (`equal`): same model, batch and optimizer (fused Adam),
each block of steps between two blocks of `equal`, in one process on one thread. A cell is the median ratio over the rounds with its
quartiles; where the median is above what the script allows the limit stands behind it, in bold where the lower quartile is above it too.
`equal` against itself shows what the measurement adds. `plain loop`: `sum(losses).backward()` and `optimizer.step()`, without a library.
`passes`: backward passes through the trunk in a step, for each T. The CSV has the rounds and the date of each row, which may have been
measured again later than its cell (`--again`). The floors are sums of parts that are timed on their own, over the sum
for a plain step. `floor`: forward, heads and optimizer once and the trunk backwards T times; `floor, two forwards`: a plain step and a
second forward pass, which FAMO needs; `floor, by layers`: forward, heads and optimizer, and the bare products of a Gramian taken layer by
layer, without what it costs to find the layers in the graph and to solve for the weights. Methods that only work on T numbers cost what
some tens of operators cost that each take 3 to 8 µs whatever T is: `ldc_mtl` needs some 30 of them, which is above 5 % of a
step of a millisecond or two. So it is with `gradnorm` at T=3 and batch 32: T short backward passes through head and last layer, the
products of what they give, and a second pass through the heads; to pass these once is no faster there, as it costs 0.4 ms to take the
graph apart and to work on its pieces.
"""


def markdown(rows: Sequence[Row]) -> str:
    """One table a model and batch size."""
    parts = [INTRODUCTION]
    judged = [row for row in rows if row.clock == rows[0].clock]
    ordered = sorted(judged, key=lambda row: (row.model != "mlp", row.model, row.batch, row.tasks))
    for (model, batch), group in itertools.groupby(ordered, lambda row: (row.model, row.batch)):
        parts.append("\n".join(table(f"{model}, batch {batch}", list(group))))
    return "\n".join(parts) + "\n"


def table(title: str, rows: Sequence[Row]) -> list[str]:
    """Methods by family, with a column a number of tasks and implementation."""
    tasks = sorted({row.tasks for row in rows})
    found = {(row.tasks, row.method, row.implementation == "torchjd"): row for row in rows}
    columns = [(t, theirs) for t in tasks for theirs in (False, True) if any((t, row.method, theirs) in found for row in rows)]
    conditions = []
    for t in tasks:
        plain = next(row for row in rows if row.tasks == t and row.implementation == "plain")
        share = f"{100 * plain.conflicts:.0f} % of the pairs conflict"
        conditions.append(f"T={t}: {plain.n} rounds, `equal` takes {plain.ms / plain.ratio:.3g} ms, {share}")
    machines = sorted({f"{row.cpu}, torch {row.torch}, {row.clock} time, {row.date}" for row in rows})
    lines = [f"## {title}", "", f"{'; '.join(conditions)}. {'; '.join(machines)}.", ""]
    lines.append("| method | passes | " + " | ".join(f"T={t}{' torchjd' if theirs else ''}" for t, theirs in columns) + " |")
    lines.append("|---" * (2 + len(columns)) + "|")
    for name in dict.fromkeys(row.method for row in sorted(rows, key=rank)):
        passes = dict.fromkeys(str(found[t, name, False].backward_passes) for t in tasks if (t, name, False) in found)
        cells = [shown(found.get((t, name, theirs))) for t, theirs in columns]
        lines.append(f"| {name} | {'/'.join(passes)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def rank(row: Row) -> tuple[object, ...]:
    """The floor, the plain loop, then methods by family, where they look at gradients, and name."""
    first = ("floor", "plain")
    if row.implementation in first:
        return (0, first.index(row.implementation))
    card = methods.card(row.method)
    return (1, ("loss", "gramian", "jacobian", "several").index(card.family), card.where, card.name)


def shown(row: Row | None) -> str:
    if row is None:
        return ""
    text = f"{row.ratio:.2f} [{row.q25:.2f}, {row.q75:.2f}]"
    return f"**{text}** > {row.target:.2f}" if row.missed else text
