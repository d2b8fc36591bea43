"""What tracking costs: a study of short trials with and without it, in turn; and what the service takes for itself.

The trials do nothing but keep a core busy for so many CPU seconds, so that a round differs from the next in tracking alone. Pairs are
compared in wall clock (the study alone, and all of the command) and in CPU seconds of everything that was started; of a machine with other
work, trust the latter. Exits with 1 where the median of the study's CPU seconds grows by more than the limit.
"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

import tasks
from benchmark import plan, study
from benchmark.executors import Job, Resources, create
from benchmark.records import Cost, Point, RunRecord, TrialSpec
from benchmark.store import Store
from benchmark.tracking import Options
from benchmark.tracking.watcher import Tracker

LIMIT = 1.02


def burn(job: Job) -> Sequence[RunRecord]:
    """A trial of so many CPU seconds, with a curve of ten points."""
    end = time.process_time() + job.spec.learning_rate
    while time.process_time() < end:
        sum(range(1000))
    return [finished(job.spec)]


def finished(spec: TrialSpec) -> RunRecord:
    points = [
        Point(step=step, train_losses=[1.0, 2.0], validation_losses=[1.0, 2.0], weights=[0.5, 0.5], score=1.0 / step, seconds=0.01 * step)
        for step in range(1, 11)
    ]
    cost = Cost(train=spec.learning_rate, method=0.0, evaluation=0.0, steps=10, backward_passes=10)
    return RunRecord(
        id=spec.id, spec=spec, status="ok", tasks=["a", "b"], trained=[0, 1], curve=points, selected_step=10, test={}, cost=cost
    )


def short_study(trials: int, seconds: float) -> plan.Study:
    """One method on one problem with so many seeds."""
    suite = plan.with_overrides(tasks.suite("smoke"), problems=["gradnorm_toy"], seeds=trials)
    suite = replace(suite, entries=tuple(replace(entry, learning_rate=seconds) for entry in suite.entries))
    return plan.Study(suite, plan.choose_entrants(["equal"], []), 1, (), {"gradnorm_toy": "0"})


@dataclass(frozen=True)
class Taken:
    """Seconds of wall clock: of the study, and of everything; CPU seconds of everything, the trials' being what they were told to take."""

    study: float
    all: float
    cpu: float


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def tracked(options: Options, wanted: plan.Study, store: Store) -> Iterator[Tracker]:
    output = io.StringIO()
    with Tracker(options, store, Console(file=output, width=300)) as tracker:
        tracker.log_in()
        tracker.begin(wanted)
        yield tracker
    if "warning" in output.getvalue():
        raise SystemExit(output.getvalue())


def run(options: Options, trials: int, seconds: float, jobs: int) -> Taken:
    with tempfile.TemporaryDirectory() as folder:
        store, wanted = Store(Path(folder)), short_study(trials, seconds)
        start, cpu = time.perf_counter(), cpu_seconds()
        with tracked(options, wanted, store) as tracker:
            with create("local", Resources(jobs=jobs), work="scripts.bench_tracking:burn") as pool:
                study.run(wanted, store, pool, [tracker])
            ended = time.perf_counter()
            tracker.end([], study.records_of(plan.evaluation(wanted), store))
        return Taken(ended - start, time.perf_counter() - start, cpu_seconds() - cpu + trials * seconds)


def service(runs: str, trials: int) -> tuple[float, float]:
    """CPU seconds of the service for so many trials, and microseconds of wall clock that ``seen`` takes of the study, median."""
    with tempfile.TemporaryDirectory() as folder:
        store, wanted = Store(Path(folder)), short_study(trials, 0.0)
        records = [finished(spec) for spec in plan.evaluation(wanted)]
        for record in records:
            store.save(record)
        before, calls = resource.getrusage(resource.RUSAGE_CHILDREN), []
        with tracked(Options(mode="offline", runs=runs), wanted, store) as tracker:
            for record in records:
                start = time.perf_counter()
                tracker.seen(record)
                calls.append(time.perf_counter() - start)
            tracker.end([], records)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1e6 * statistics.median(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of a trial")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    for runs, many in (("study", 2000), ("trial", 100)):
        few, _ = service(runs, 1)
        more, call = service(runs, many)
        each = 1000 * (more - few) / (many - 1)
        print(f"--wandb-runs {runs}: {few:.1f} CPU-s a study, {each:.1f} CPU-ms a trial, beside the trials; which wait {call:.0f} us each")
    pairs = []
    for _ in range(given.rounds):
        off, on = (run(Options(mode=mode), given.trials, given.seconds, given.jobs) for mode in ("off", "offline"))
        pairs.append((off, on))
        print(
            f"  study {off.study:6.1f} -> {on.study:6.1f} s, all {off.all:6.1f} -> {on.all:6.1f} s, CPU {off.cpu:6.1f} -> {on.cpu:6.1f} s",
            flush=True,
        )
    print(f"{given.trials} trials of {given.seconds:g} CPU-s, {given.jobs} at once, {given.rounds} pairs, tracked / untracked:")
    medians = {}
    for name in ("study", "all", "cpu"):
        ratios = sorted(getattr(on, name) / getattr(off, name) for off, on in pairs)
        medians[name] = statistics.median(ratios)
        print(f"  {name:5}: {medians[name]:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
    raise SystemExit(medians["cpu"] > LIMIT)


if __name__ == "__main__":
    main()
