"""Throughput of seeds trained together against seeds trained one by one: whole trials through :func:`benchmark.trial.execute`, one core.

A round trains all seeds in one pass and, right before and after it, one seed alone; the ratio is that of the mean of the two, times the
number of seeds, to the pass. Seconds are those that the process computed (its CPU time on one thread), which other work on the machine
hardly changes; the step is compiled before. With ``--auto`` whole studies are run by the command line instead, by each engine and by
``auto`` in turn, from an empty compile cache, in seconds of wall clock: what is compared is their total, compiling included.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import csv_rows
import msgspec
import torch

import methods
import tasks
from benchmark.executors import Job
from benchmark.records import RunRecord, TrialSpec
from benchmark.trial import execute

METHODS = "equal,uncertainty,gradnorm,cagrad,pcgrad,mgda,trimmed_mean"
"""A representative or two of every kind of decision."""

PROBLEMS = "digits,wine,multidigits,diabetes"
GOAL = 8.0
AUTO_GOAL = 1.10


@dataclass(frozen=True)
class Row:
    """A problem and a method; ratios are of throughput, above 1 where training together is faster."""

    problem: str
    method: str
    family: str
    seeds: int
    steps: int
    rounds: int
    alone_ms: float
    """CPU milliseconds of a step of one seed alone."""
    together_ms: float
    """Of a step of one seed among the others."""
    ratio: float
    low: float
    high: float
    """Median, smallest and largest ratio of the rounds."""
    compile_s: float
    """Wall seconds of tracing and compiling, or of loading what was compiled before."""
    goal: float
    machine: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])  # type: ignore[union-attr]
    parser.add_argument("--problems", default=PROBLEMS)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--auto", action="store_true", help="compare whole studies, auto against both engines")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "bench" / "engine.csv")
    given = parser.parse_args()
    if given.auto:
        auto(given.problems.split(",")[0], given.methods, given.seeds, given.steps, given.rounds)
        return
    torch.set_num_threads(1)
    rows: list[Row] = []
    for problem in given.problems.split(","):
        for method in given.methods.split(","):
            rows.append(measured(problem, method, given.seeds, given.steps, given.rounds))
            row = rows[-1]
            said = f"{row.ratio:5.1f}x [{row.low:.1f}, {row.high:.1f}]" + ("" if row.ratio >= row.goal else f"  (below {row.goal:g})")
            print(f"{problem:12} {method:14} {row.alone_ms:7.3f} ms {row.together_ms:7.3f} ms {said}", flush=True)
            csv_rows.write(given.out, Row, rows)


def measured(problem: str, method: str, seeds: int, steps: int, rounds: int) -> Row:
    alone = [spec(problem, method, seed, steps) for seed in range(seeds)]
    together = tuple(msgspec.structs.replace(each, engine="vectorized", together=seeds) for each in alone)
    warm, *_ = run(together)
    run(alone[:1])
    ratios, ones, passes = [], [], []
    for index in range(rounds):
        before = seconds(alone[2 * index % seeds])
        start = time.process_time()
        run(together)
        passes.append((time.process_time() - start) / seeds)
        ones.append((before + seconds(alone[(2 * index + 1) % seeds])) / 2)
        ratios.append(ones[-1] / passes[-1])
    compiling = warm.cost.compilation if warm.cost and isinstance(warm.cost.compilation, float) else 0.0
    return Row(
        problem=problem,
        method=method,
        family=methods.card(method).family,
        seeds=seeds,
        steps=steps,
        rounds=rounds,
        alone_ms=round(statistics.median(ones) / steps * 1e3, 4),
        together_ms=round(statistics.median(passes) / steps * 1e3, 4),
        ratio=round(statistics.median(ratios), 2),
        low=round(min(ratios), 2),
        high=round(max(ratios), 2),
        compile_s=round(compiling * seeds, 1),
        goal=GOAL,
        machine=f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}",
    )


def seconds(one: TrialSpec) -> float:
    """CPU seconds of one trial alone."""
    start = time.process_time()
    run([one])
    return time.process_time() - start


def run(specs: list[TrialSpec] | tuple[TrialSpec, ...]) -> tuple[RunRecord, ...]:
    records = execute(Job(tuple(specs), "cpu"))
    for record in records:
        if record.status != "ok" or "step_not_compiled" in record.events:
            raise SystemExit(
                f"{record.spec.problem}, {record.spec.method}: {record.status} {record.message} {record.environment.get('step')}"
            )
    return records


def spec(problem: str, method: str, seed: int, steps: int) -> TrialSpec:
    """One evaluation, at the end: it is the same for both, and would only dilute the ratio."""
    card, other = methods.card(method), tasks.problem(problem)
    return TrialSpec(
        suite="bench",
        problem=problem,
        problem_version=other.card.version,
        data=other.fingerprint(),
        method=method,
        method_version=card.version,
        entrant=method,
        hyperparameters=card.resolve({}),
        learning_rate=other.card.learning_rate,
        role="tune",
        seed=seed,
        steps=steps,
        batch_size=other.card.batch_size,
        eval_every=steps,
        selection="last",
    )


def auto(problem: str, names: str, seeds: int, steps: int, rounds: int) -> None:
    """Prints, round by round, the seconds of the study by each engine, and the ratio of auto to the better of the two.

    In wall clock and in CPU seconds; of a machine with other work, trust the latter: everything, compiling included, is done by one
    process. Every round begins with another engine, so that a load that comes or goes favours none.
    """
    suite = (
        f'name = "bench_engine"\nversion = 1\nsummary = "one problem"\n[protocol]\nseeds = {seeds}\nevaluations = 2\nselection = "last"\n'
    )
    suite += f'[[problems]]\nname = "{problem}"\nsteps = {steps}\n'
    ratios: dict[str, list[float]] = {"wall clock": [], "CPU": []}
    engines = ["eager", "vectorized", "auto"]
    for turn in range(rounds):
        took: dict[str, dict[str, float]] = {clock: {} for clock in ratios}
        for engine in engines[turn % 3 :] + engines[: turn % 3]:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "suite.toml").write_text(suite)
                command = [
                    sys.executable,
                    "-m",
                    "benchmark",
                    "run",
                    "--suite",
                    f"{folder}/suite.toml",
                    "--methods",
                    names,
                    "--no-baselines",
                ]
                command += [
                    "--engine",
                    engine,
                    "--together",
                    str(seeds),
                    "--executor",
                    "inline",
                    "--device",
                    "cpu",
                    "--results",
                    f"{folder}/results",
                ]
                start, before = time.perf_counter(), _children()
                done = subprocess.run(
                    command,
                    env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/cache", "TORCHINDUCTOR_COMPILE_THREADS": "1"},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                took["wall clock"][engine], took["CPU"][engine] = time.perf_counter() - start, _children() - before
            if engine == "auto":
                said = [line for line in done.stderr.splitlines() if "--engine auto" in line]
        for clock, of in took.items():
            ratios[clock].append(of["auto"] / min(of["eager"], of["vectorized"]))
            seconds = ", ".join(f"{engine} {of[engine]:.1f} s" for engine in engines)
            print(f"{clock}: {seconds}, ratio {ratios[clock][-1]:.2f}", flush=True)
        print(*said, flush=True)
    for clock, of_clock in ratios.items():
        verdict = "ok" if statistics.median(of_clock) <= AUTO_GOAL else f"above {AUTO_GOAL}"
        spread = f"{statistics.median(of_clock):.2f} [{min(of_clock):.2f}, {max(of_clock):.2f}]"
        print(f"{problem}, {steps} steps, {seeds} seeds: auto / better {spread} {verdict} in {clock}")


def _children() -> float:
    """CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
