"""The T x T solvers alone: CPU time of a whole ``weights(G, losses)`` call, and how far its answer is from optimal.

Run by ``scripts/bench_solvers``, which keeps numpy and scipy on one thread. All cases are timed in turn, round after round, so that a
machine that changes its speed changes them all; a sample is the mean of a few calls in a row, after one that is not timed. The optimality
of an answer is computed here from G and w, with products in extended precision, at three gradient scales, and by none of the solvers' own
certificates; of ``upgrad``, from the projections that w is the mean of.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import functools
import itertools
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench_arguments import at_least, make, sizes, some_of
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor, nn

import methods
from benchmark import machine
from methods.solvers import cone_projections

Array = NDArray[np.float64]
Long = NDArray[np.longdouble]

TASKS = (2, 3, 10, 40)
SCALES = (1e-6, 1.0, 1e6)
INSTANCES = 5
CALLS = 3


# Gradients ``[T, P]`` of one kind, by number of tasks and seed.


@functools.cache
def network(tasks: int, seed: int) -> Array:
    """Gradients of a fresh trunk 128-256-256-256-256 under T linear heads, mean squared error to random labels, batch 256."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (128, 256, 256, 256, 256)
        trunk = nn.Sequential(*(m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU()))).double()
        heads = nn.Linear(widths[-1], tasks).double()
        z = trunk(torch.randn(256, widths[0], dtype=torch.float64))
        losses = (heads(z) - torch.randn(256, tasks, dtype=torch.float64)).square().mean(0)
        rows = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trunk.parameters()), retain_graph=True)]) for loss in losses]
    return compact(torch.stack(rows).numpy())


def compact(rows: Array) -> Array:
    """Rows with the same Gramian in T columns."""
    return np.ascontiguousarray(np.linalg.qr(rows.T, mode="r").T)


def normalised(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1)[:, None]


def conflict(tasks: int, seed: int) -> Array:
    """Normalised network gradients minus 0.8 of their mean, lengths log-normal."""
    rows = normalised(network(tasks, seed))
    return (rows - 0.8 * rows.mean(axis=0)) * np.exp(np.random.default_rng(seed).standard_normal((tasks, 1)))


def plain(tasks: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((tasks, 2 * tasks))


def low_rank(rank: Callable[[int], int], shift: float = 0.0) -> Callable[[int, int], Array]:
    def rows(tasks: int, seed: int) -> Array:
        random = np.random.default_rng(seed)
        return random.standard_normal((tasks, rank(tasks))) + shift

    return rows


def duplicated(tasks: int, seed: int) -> Array:
    """Every gradient twice."""
    return conflict(max(2, tasks // 2), seed)[np.arange(tasks) % max(2, tasks // 2)]


def antiparallel(tasks: int, seed: int) -> Array:
    """Every gradient and a multiple of its opposite."""
    half = plain(tasks - tasks // 2, seed)
    return np.vstack([half, -half[: tasks // 2] * np.exp(np.random.default_rng(seed).standard_normal((tasks // 2, 1)))])


def stationary(tasks: int, seed: int) -> Array:
    """A convex combination of the gradients is a thousandth as long as they are."""
    rows = plain(tasks, seed)
    rows[-1] = -rows[:-1].mean(axis=0) + 1e-3 * rows[-1]
    return rows


def ill_scaled(tasks: int, seed: int) -> Array:
    """Lengths over twelve orders of magnitude."""
    return plain(tasks, seed) * 10 ** np.random.default_rng(seed).uniform(-6, 6, (tasks, 1))


REGIMES: dict[str, Callable[[int, int], Array]] = {
    "mlp": network,
    "conflict": conflict,
    "rank T/2": low_rank(lambda tasks: max(1, tasks // 2)),
    "rank T/2, agreeing": low_rank(lambda tasks: max(1, tasks // 2), 0.4),
    "rank 3": low_rank(lambda tasks: min(tasks, 3)),
    "duplicated": duplicated,
    "antiparallel": antiparallel,
    "near stationary": stationary,
    "log-uniform": ill_scaled,
    "rank T/2, float32": low_rank(lambda tasks: max(1, tasks // 2)),
    "duplicated, float32": duplicated,
}


# How far weights ``[T]`` are from optimal, beyond what the rounding of G explains; relative.


@dataclass(frozen=True)
class Problem:
    """G ``[T, T]`` in extended precision with the relative rounding ``eps`` of its entries."""

    gramian: Long
    eps: float

    @property
    def norms(self) -> Long:
        return np.sqrt(self.gramian.diagonal())

    @property
    def cosines(self) -> Long:
        return self.gramian / self.norms / self.norms[:, None]

    def product(self, weights: Long) -> tuple[Long, Long]:
        """Gw, and the rounding in it."""
        return self.gramian @ weights, 4 * len(weights) * self.eps * (np.abs(self.gramian) @ np.abs(weights))

    def distance(self, rows: Long | None = None) -> float:
        """Squared distance of the hull of the normalised gradients (or of some of them) from 0; 0 where that is rounding."""
        cosines = np.asarray(self.cosines if rows is None else self.cosines[np.ix_(rows, rows)], dtype=np.float64)
        values, vectors = np.linalg.eigh(cosines)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        found = nnls(np.vstack([factor.T, np.ones(len(cosines))]), np.eye(len(cosines) + 1)[-1], maxiter=1000 * len(cosines))[0]
        found /= found.sum()
        squared = float(found @ cosines @ found)
        return squared if squared > 8 * len(found) * self.eps else 0.0


def relative(excess: Long | float, size: Long | float) -> float:
    return float(np.max(np.maximum(excess, 0.0) / size))


def of_min_norm(problem: Problem, weights: Long) -> float:
    product, blur = problem.product(weights)
    squared, rounding = weights @ product, weights @ blur
    if squared <= rounding:
        return 0.0
    return max(relative(squared - product - blur - rounding, squared), abs(float(weights.sum()) - 1) - 1e-12, -float(weights.min()))


def of_projection(problem: Problem, weights: Long, point: Long) -> float:
    """v >= u, Gv >= 0, (v - u)_i (Gv)_i = 0; or zero where no direction is left."""
    norms = problem.norms
    product, blur = problem.product(weights)
    size = norms * (point * norms).max()
    if not weights.any():  # the projection is zero: -Jᵀu lies in the cone of the gradients, to rounding
        cosines = np.asarray(problem.cosines, dtype=np.float64)
        values, vectors = np.linalg.eigh(cosines)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        start = np.asarray(point * norms / (point * norms).max(), dtype=np.float64)
        shares, left = nnls(factor.T, -start @ factor, maxiter=1000 * len(norms))
        shares += start
        return float(left**2) if left**2 > 4 * len(norms) * problem.eps * (shares @ np.abs(cosines) @ shares) else 0.0
    above = weights > point * (1 + 1e-12)
    wrong = np.where(above, np.abs(product), -product) - blur
    return max(relative(wrong, size), relative(point * (1 - 1e-12) - weights, 1 / norms * (point * norms).max()))


def of_dualproj(problem: Problem, weights: Long) -> float:
    return of_projection(problem, weights, np.full(len(weights), 1 / len(weights), dtype=np.longdouble))


def of_upgrad(problem: Problem, weights: Long) -> float:
    points = np.eye(len(weights))
    parts = cone_projections(np.asarray(problem.gramian, dtype=np.float64), points, problem.eps).weights.astype(np.longdouble)
    assert np.abs((parts.mean(axis=0) - weights) * problem.norms).max() <= 1e-12 * np.abs(weights * problem.norms).max()
    return max(of_projection(problem, part, point) for part, point in zip(parts, points.astype(np.longdouble), strict=True))


def of_fair(power: float) -> Callable[[Problem, Long], float]:
    def residual(problem: Problem, weights: Long) -> float:
        if not weights.any():
            return problem.distance()
        product, blur = problem.product(weights)
        pull = weights**power
        return relative(np.abs(pull * product - 1) - pull * blur, 1.0)

    return residual


def of_cagrad(problem: Problem, weights: Long) -> float:
    """The worst task's gain against its upper bound in the dual, f(s) = hᵀs + k √(sᵀGs), where w = 1/T + λs."""
    tasks = len(weights)
    mean = np.full(tasks, 1 / np.longdouble(tasks))
    h, blur = problem.product(mean)
    k = np.longdouble(0.4) * np.sqrt(np.maximum(mean @ h, 0))
    gain, rounding = problem.product(weights)
    shares = np.maximum(weights - mean, 0)
    if shares.sum() <= 1e-12 * np.abs(weights).sum():  # d = g_0: where a convex combination is zero
        return problem.distance()
    scale = shares.sum()
    shares = shares / scale
    product, noise = problem.product(shares)
    length = np.sqrt(np.maximum(shares @ product, 0))
    bound = shares @ h + k * length
    if length <= 0:
        return problem.distance()
    in_bound = shares @ blur + k * (shares @ noise) / length
    ball = abs(scale * length / k - 1) - float(shares @ noise / length**2 + mean @ blur / (mean @ h))
    size = shares @ np.abs(h) + k * length
    return max(relative(bound - gain.min() - in_bound - rounding.max(), size), float(ball))


def of_aligned(problem: Problem, weights: Long) -> float:
    """Against scipy's other driver of the eigenvalue problem, in the length of the direction."""
    from scipy.linalg import eigh

    gramian = np.asarray(problem.gramian / problem.gramian.diagonal().mean(), dtype=np.float64)
    values, vectors = eigh(gramian, driver="ev")
    kept = values > 4 * len(values) * problem.eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    expected = vectors @ (vectors.mean(axis=0) * len(weights) / len(weights) * np.sqrt(values[0] / values))
    gap = np.asarray(weights, dtype=np.float64) - expected
    condition = values[-1] / values[0]
    return max(0.0, float(np.linalg.norm(vectors.T @ gap) / np.linalg.norm(expected)) - 64 * len(values) * problem.eps * condition)


def of_equal_projections(problem: Problem, weights: Long) -> float:
    """<d, g_t / n_t> is the same for all t, or is the nearest to that in the range of C."""
    if not weights.any():  # right only where a convex combination of the gradients is zero
        return 0.0 if problem.distance() == 0.0 else 1.0
    shares = np.asarray(weights * problem.norms, dtype=np.float64)
    cosines = np.asarray(problem.cosines, dtype=np.float64)
    values = np.linalg.eigvalsh(cosines)
    kept = values > 4 * len(values) * problem.eps * values[-1]
    if not kept.all():
        return float("nan")
    projections = cosines @ shares
    blur = 8 * len(values) * problem.eps * (np.abs(cosines) @ np.abs(shares))
    level = float(np.mean(projections))
    return relative(np.abs(projections - level) - blur - blur.mean(), abs(level))


def of_pcd(problem: Problem, weights: Long, tau: float = 0.02) -> float:
    """The KKT conditions of x = ĝ_1 + Σ μ_t ĝ_t, where the constraints do not contradict each other."""
    shares = weights * problem.norms
    others = np.arange(1, len(weights))
    if not shares[1:].any() and len(others) and problem.distance(others) == 0.0:
        return 0.0
    shares = shares / shares[0]
    cosines = problem.cosines
    slack = cosines @ shares - tau
    blur = 4 * len(weights) * problem.eps * (np.abs(cosines) @ np.abs(shares))
    wrong = np.where(shares > 0, np.abs(slack), -slack)[1:] - blur[1:]
    return max(relative(wrong, 1.0), relative(-shares[1:], 1.0))


def unchecked(problem: Problem, weights: Long) -> float:
    """A fixed sequence of projections: nothing is optimal about it."""
    return float("nan")


RESIDUALS: dict[str, Callable[[Problem, Long], float]] = {
    "mgda": of_min_norm,
    "dualproj": of_dualproj,
    "cagrad": of_cagrad,
    "nash_mtl": of_fair(1.0),
    "fairgrad": of_fair(0.5),
    "aligned_mtl": of_aligned,
    "imtl_g": of_equal_projections,
    "config": of_equal_projections,
    "pcgrad": unchecked,
    "upgrad": of_upgrad,
    "gradvac": unchecked,
    "pcd": of_pcd,
}


@dataclass(frozen=True)
class Case:
    method: str
    tasks: int
    regime: str
    gramians: tuple[Tensor, ...]
    eps: float

    def balancer(self) -> methods.GramianMethod:
        balancer = methods.create(self.method, self.tasks)
        assert isinstance(balancer, methods.GramianMethod)
        vars(balancer)["rounding"] = self.eps
        return balancer

    def residuals(self) -> tuple[list[float], int]:
        """The worst at each scale, and how often the method counted an event."""
        worst, events = [], 0
        for scale in SCALES:
            values = []
            for gramian in self.gramians:
                balancer = self.balancer()
                weights = balancer.weights(gramian * scale**2, torch.ones(self.tasks, dtype=torch.float64))
                events += sum(balancer.events.values())
                problem = Problem((gramian * scale**2).numpy().astype(np.longdouble), self.eps)
                values.append(RESIDUALS[self.method](problem, weights.numpy().astype(np.longdouble)))
            worst.append(float(np.nanmax(values)) if not np.isnan(values).all() else float("nan"))
        return worst, events


def cases(names: Sequence[str], sizes: Sequence[int], regimes: Sequence[str]) -> Iterator[Case]:
    for regime in regimes:
        single = regime.endswith("float32")
        for tasks in sizes:
            rows = [torch.from_numpy(REGIMES[regime](tasks, seed)) for seed in range(INSTANCES)]
            gramians = tuple((r.float() @ r.float().T).double() if single else r @ r.T for r in rows)
            gramians = tuple((g + g.T) / 2 for g in gramians)
            eps = torch.finfo(torch.float32 if single else torch.float64).eps
            for name in names:
                yield Case(name, tasks, regime, gramians, eps)


def timed(every: Sequence[Case], rounds: int) -> list[list[float]]:
    """Microseconds a call, for each case: one sample a round and instance."""
    samples: list[list[float]] = [[] for _ in every]
    balancers = [case.balancer() for case in every]
    for number in range(rounds):
        for case, balancer, taken in zip(every, balancers, samples, strict=True):
            gramian, losses = case.gramians[number % INSTANCES], torch.ones(case.tasks, dtype=torch.float64)
            balancer.weights(gramian, losses)
            start = time.thread_time_ns()
            for _ in range(CALLS):
                balancer.weights(gramian, losses)
            taken.append((time.thread_time_ns() - start) / CALLS / 1e3)
    return samples


def limit(method: str, tasks: int) -> float:
    """Microseconds that a solver should need at most: what nobody would notice beside the step of a small network."""
    if tasks <= 10:
        return 250.0 if method in ("upgrad", "gradvac") else 150.0
    return 2000.0


HEADER = ("method", "tasks", "regime", "us_median", "us_q1", "us_q3", "us_min", "residual_1e-6", "residual_1", "residual_1e6", "events")


INTRODUCTION = """# What the solvers cost alone

Written by `scripts/bench_solvers`. CPU microseconds of a whole `weights(G, losses)` call of the Gramian methods at their defaults, on one
thread: the median over rounds and five instances, with its quartiles, and the shortest. In bold where the lower quartile is above what it
should be: 150 µs (`upgrad` and `gradvac` 250) up to T = 10, 2,000 µs for T = 40. The times depend on what else the processor's cores do;
the shortest shows what they can do. After the comma: how far the answer is from optimal, relative and beyond what the rounding of G
explains, at the worst of three scales of the gradients, 1e-6 to 1e6; nothing where a method promises no optimum, or where it is not
unique (`imtl_g` and `config` on singular Gramians). For `upgrad` that is the worst of the projections that it is the mean of.
{cpu}, torch {torch}, numpy {numpy}, {date}.

`mlp`: gradients of a fresh network; `conflict`: those, normalised, less 0.8 of their mean, with log-normal lengths; `duplicated`: half as
many of these, each twice; the others are drawn: low ranks, gradients beside their opposites, a convex combination of nearly no length,
lengths over twelve orders of magnitude.
"""


def table(lines: Sequence[dict[str, object]]) -> str:
    """One row a method and size, one column a regime."""
    regimes = list(dict.fromkeys(str(line["regime"]) for line in lines))
    text = [
        INTRODUCTION.format(
            date=datetime.date.today(), cpu=machine.processor() or platform.machine(), torch=torch.__version__, numpy=np.__version__
        )
    ]
    for tasks in dict.fromkeys(line["tasks"] for line in lines):
        text += [f"### T = {tasks}", "", "| method | " + " | ".join(regimes) + " |", "|---" * (len(regimes) + 1) + "|"]
        for name in dict.fromkeys(str(line["method"]) for line in lines):
            of = {line["regime"]: line for line in lines if line["tasks"] == tasks and line["method"] == name}
            cells = []
            for regime in regimes:
                line = of[regime]
                worst = np.array([line[key] for key in HEADER[7:10]], dtype=float)
                seen = "" if np.isnan(worst).all() else f", {np.nanmax(worst):.0e}"
                seen += f", {line['events']} events" if line["events"] else ""
                middle, low, high, least = (float(str(line[key])) for key in HEADER[3:7])
                most = limit(name, int(str(tasks)))
                shown = f"**{middle:.0f}**" if low > most else f"{middle:.0f}"
                cells.append(f"{shown} ({low:.0f} to {high:.0f}; {least:.0f}){seen}")
            text.append(f"| {name} | " + " | ".join(cells) + " |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=at_least(2), default=25, help="2 or more, for quartiles")
    parser.add_argument("--methods", type=some_of(RESIDUALS), default=list(RESIDUALS))
    parser.add_argument("--tasks", type=sizes, default=TASKS)
    parser.add_argument("--regimes", type=some_of(REGIMES, ";"), default=list(REGIMES), help="separated by ;")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "bench")
    given = parser.parse_args()
    make(parser, given.out)
    torch.set_num_threads(1)
    every = list(cases(given.methods, given.tasks, given.regimes))
    lines: list[dict[str, object]] = []
    for case, taken in zip(every, timed(every, given.rounds), strict=True):
        low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
        residuals, events = case.residuals()
        lines.append(
            dict(zip(HEADER, (case.method, case.tasks, case.regime, middle, low, high, min(taken), *residuals, events), strict=True))
        )
    with (given.out / "solvers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        for line in lines:
            writer.writerow({key: f"{value:.3g}" if isinstance(value, float) else value for key, value in line.items()})
    text = table(lines)
    (given.out / "solvers.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
