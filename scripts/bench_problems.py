"""A study of every embedded problem under the settings of its suite: what a run takes, and whether it tells methods apart.

The studies are those of ``python -m benchmark run``, with the statistics of its leaderboard; records are kept and never made twice. Seconds
are the CPU time of one more run, on one thread: what it takes on an idle core, whatever else this machine is doing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import problems_report
import torch
from bench_steps import processor
from msgspec.structs import replace
from problems_report import REFERENCE, Row
from rich.console import Console

import tasks
from benchmark import executors, plan, study
from benchmark.executors import Job, Resources
from benchmark.machine import resolve_device
from benchmark.progress import StudyProgress
from benchmark.records import FINISHED, RunRecord, TrialSpec
from benchmark.store import Store
from benchmark.table import build, gaps
from benchmark.trial import execute

ROOT = Path(__file__).parent.parent
METHODS = "equal,single_task,rlw,uncertainty,scale_invariant,dwa,famo,imtl_l,gls,gradnorm,cagrad,nash_mtl,config,aligned_mtl,db_mtl"
"""Named ahead of any result, and all of them counted where the best is picked."""


def measured(problem: str, methods: Sequence[str], seeds: int, store: Store, jobs: int, timeout: float, console: Console) -> list[Row]:
    """Runs what is missing of one problem's study and turns all of it into rows."""
    home = problems_report.home(problem)
    suite = plan.with_overrides(home, problems=[problem], seeds=seeds)
    wanted = plan.Study(
        suite=suite,
        entrants=plan.choose_entrants(methods, []),
        budget=1,
        sources=(),
        fingerprints={problem: tasks.problem(problem).fingerprint()},
    )
    with StudyProgress(console, jobs) as progress, executors.create("local", Resources(jobs, timeout)) as pool:
        study.run(wanted, store, pool, [progress], device="cpu")
    specs = plan.evaluation(wanted)
    seconds = cpu_seconds(next(spec for spec in specs if spec.method == REFERENCE))
    return rows_of(problem, study.records_of(specs, store), seconds)


def cpu_seconds(spec: TrialSpec) -> float:
    """Of a whole run: data into place, training, evaluations. One of a single step goes before it, which imports and reads."""
    execute(Job((replace(spec, steps=1, eval_every=1),), "cpu"))
    began = time.process_time()
    (record,) = execute(Job((spec,), "cpu"))
    assert record.status in FINISHED, record.message
    return time.process_time() - began


def rows_of(problem: str, records: Sequence[RunRecord], seconds: float) -> list[Row]:
    """One row an entrant, with the paired difference of its Δm to that of equal weights.

    The intervals of the differences hold together: with m comparators each has the confidence 1 - 0.05 / m.
    """
    built = build(records)
    comparators = [row.entrant for row in built.rows if problems_report.compared(row.entrant)]
    apart = gaps(records, REFERENCE, confidence=1 - 0.05 / max(len(comparators), 1)).get(problem, {})
    rows = []
    for row in built.rows:
        cell, gap = row.cells[problem], apart.get(row.entrant)
        rows.append(
            Row(
                problem=problem,
                version=tasks.problem(problem).card.version,
                suite=records[0].spec.suite,
                steps=records[0].spec.steps,
                method=row.entrant,
                n=cell.seeds,
                failed=sum(row.failures.values()),
                seconds=seconds if row.entrant == REFERENCE else None,
                delta_m=known(cell.delta_m.value),
                low=known(cell.delta_m.low),
                high=known(cell.delta_m.high),
                gap=gap and gap.value,
                gap_low=gap and known(gap.low),
                gap_high=gap and known(gap.high),
                torch=str(torch.__version__),
                cpu=processor("cpu"),
                date=date.today().isoformat(),
            )
        )
    return rows


def known(value: float) -> float | None:
    """A number, or None for what is not one."""
    return None if value != value else value


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    embedded = [name for name, problem in tasks.problems().items() if problem.embedded and problems_report.home(name)]
    parser.add_argument("--problems", default=",".join(embedded), help="names, with commas between")
    parser.add_argument("--methods", default=METHODS, help="names, with commas between; equal must be one")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="trials at once")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds that a trial may take")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "problems", help="where the records are kept")
    parser.add_argument("--out", type=Path, default=problems_report.PATH, help="the CSV; rows of other problems in it stay")
    return parser.parse_args(given)


def main(argv: Sequence[str] | None = None) -> None:
    given = arguments(argv)
    console = Console(stderr=True, soft_wrap=True)
    resolve_device("cpu")
    methods, _ = plan.choose_methods(given.methods, baselines=False)
    store = Store(given.results)
    store.check_writable()
    for name in given.problems.split(","):
        rows = measured(name, methods, given.seeds, store, given.jobs, given.timeout, console)
        others = [row for row in problems_report.read(given.out) if row.problem != name]
        problems_report.write(given.out, [*others, *rows])
        console.print(f"{name}: {problems_report.verdict(rows).text}", highlight=False)


if __name__ == "__main__":
    main()
