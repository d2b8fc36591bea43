"""What of a study goes to W&B: pure functions from records to rows, tables and summaries. wandb is not needed here."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmark import selection
from benchmark.plan import Study
from benchmark.records import PROTOCOL, RunRecord, failed
from benchmark.table import Table

Cell = str | float | int | None
LONGEST_TAG = 64
"""Characters, as W&B has it."""


def configuration(study: Study) -> dict[str, Any]:
    """Everything that decides which trials there are, and the versions that may change their last bits."""
    return {
        "suite": study.suite.name,
        "suite_version": study.suite.version,
        "protocol": PROTOCOL,
        "methods": [entrant.label for entrant in study.entrants],
        "method_versions": {entrant.card.name: entrant.card.version for entrant in study.entrants},
        "problems": {
            entry.problem: {
                "seeds": entry.seeds,
                "steps": entry.steps,
                "batch_size": entry.batch_size,
                "learning_rate": entry.learning_rate,
                "data": study.fingerprints[entry.problem],
            }
            for entry in study.suite.entries
        },
        "seeds": max(entry.seeds for entry in study.suite.entries),
        "budget": study.budget,
        "search": study.kind,
        "study_seed": study.seed,
        "selection_rule": study.rule,
        "vectorized": sorted(f"{problem}: {entrant}" for problem, entrant in study.vectorized),
        "together": study.together if study.vectorized else None,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of this code and of what computes the numbers; the commit where this is a checkout."""
    found = {"python": platform.python_version()}
    found |= {name: metadata.version(name) for name in ("lossbench", "torch", "numpy", "scipy")}
    root = Path(__file__).parents[2]
    if (root / ".git").exists():
        with suppress(OSError, subprocess.SubprocessError):  # no git, or a checkout that it refuses to read
            asked = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
            found["commit"] = asked.stdout.strip()
    return found


def row(record: RunRecord) -> dict[str, Cell]:
    """What there is to say of one trial in a line."""
    spec = record.spec
    return {
        "method": spec.method,
        "entrant": spec.entrant,
        "problem": spec.problem,
        "seed": spec.seed,
        "role": spec.role,
        "configuration": spec.trial,
        "search": spec.search if isinstance(spec.search, str) else "",
        "engine": spec.engine if isinstance(spec.engine, str) else "eager",
        "learning_rate": spec.learning_rate,
        "status": record.status,
        "score": selection.loss_of(record),
        "seconds": seconds(record),
    }


def seconds(record: RunRecord) -> float | None:
    """Wall clock of a trial: training, method and evaluations."""
    cost = record.cost
    return None if cost is None else cost.train + cost.method + cost.evaluation


def trials(records: Sequence[RunRecord]) -> tuple[list[str], list[list[Cell]]]:
    """Columns and lines of the table of all trials; a metric that a trial does not have is None."""
    splits = {split: sorted({key for r in records for key in getattr(r, split)}) for split in ("validation", "test")}
    columns = ["id", *(row(records[0]) if records else ()), "hyperparameters", "message", "selected_step"]
    lines: list[list[Cell]] = []
    for record in records:
        settings = json.dumps(record.spec.hyperparameters, sort_keys=True)
        line: list[Cell] = [record.id, *row(record).values(), settings, record.message, record.selected_step]
        lines.append(line + [getattr(record, split).get(key) for split, keys in splits.items() for key in keys])
    return columns + [f"{split}/{key}" for split, keys in splits.items() for key in keys], lines


def summary(records: Sequence[RunRecord], table: Table | None) -> dict[str, Any]:
    """How the study stands: trials by status, and the best row of its table."""
    counts = Counter(record.status for record in records)
    finished = sum(count for status, count in counts.items() if not failed(status))
    found: dict[str, Any] = {
        "trials/done": finished,
        "trials/failed": len(records) - finished,
        "trials/status": dict(sorted(counts.items())),
        "trials/seconds": sum(seconds(record) or 0.0 for record in records),
    }
    best = next((each for each in table.rows if each.rank == 1), None) if table else None
    if best is not None:
        found |= {"best/method": best.entrant, "best/complete": best.complete, "best/mean_rank": best.mean_rank}
        found |= {"best/delta_m": best.delta_m.value, "best/delta_m_low": best.delta_m.low, "best/delta_m_high": best.delta_m.high}
    return found


def curve(record: RunRecord) -> Iterator[tuple[int, dict[str, float]]]:
    """Step and values of every evaluation of a trial; what is not there, or not finite, is left out."""
    names = record.tasks
    for point in record.curve:
        values: dict[str, object] = {"score": point.score, "seconds": point.seconds}
        values |= {"gradients/cosine": point.cosine, "gradients/conflicts": point.conflicts}
        per_task = {"train": point.train_losses, "validation": point.validation_losses, "weight": point.weights}
        values |= {f"{what}/{name}": value for what, each in per_task.items() for name, value in zip(names, each, strict=False)}
        values |= {f"metrics/{key}": value for key, value in (point.metrics or {}).items()}
        yield point.step, {key: value for key, value in values.items() if isinstance(value, float)}


def tags(record: RunRecord) -> list[str]:
    """Of a trial's own run."""
    named: Iterable[str] = (record.spec.method, record.spec.problem, record.spec.suite)
    return [name[:LONGEST_TAG] for name in dict.fromkeys(named) if name]
