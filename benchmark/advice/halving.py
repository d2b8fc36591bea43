"""The study behind an advice: a measurement, then rung after rung, every run a record like any other."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

import tasks
from benchmark import plan, study
from benchmark.advice import plans, rungs
from benchmark.advice.arms import STEP, Arm, Results, around, best_arms, entrants_of
from benchmark.advice.clock import Clock
from benchmark.advice.rungs import LOOKS, RATES, Cost, Rung
from benchmark.advice.verdict import Verdict, judge
from benchmark.errors import UsageError
from benchmark.executors import Executor
from benchmark.races import REFERENCE
from benchmark.records import FINISHED, RunRecord, TrialSpec
from benchmark.store import Store

SUITE = "advice"
PROBE_STEPS = 20
PROBE_SEED = 999
EVALUATIONS = 9
"""Of a run: a third of them lie in its last third."""


@dataclass(frozen=True)
class Asked:
    """What there is to advise about."""

    problem: str
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    seconds: float
    jobs: int
    device: str
    where: tasks.Locations


@dataclass(frozen=True)
class Found:
    """What came of it."""

    verdict: Verdict
    climbed: tuple[tuple[int, Rung], ...]
    """How many methods each rung began with, and the rung as it was run: of the last one, with the seeds that time allowed."""
    left_out: dict[str, str]
    """Methods that were not compared, and why."""
    dropped: tuple[str, ...]
    """Methods that did not reach the last rung."""
    learning_rate: float
    """The problem's own."""
    rates: dict[str, float]
    """Learning rate of every method on the last rung."""
    tried: dict[str, tuple[float, ...]]
    """All at which each of those was tried; the problem's own alone where there was no time for others."""
    seconds: float


@dataclass(frozen=True)
class _Runner:
    """Runs what is missing of some trials of a question."""

    asked: Asked
    card: tasks.ProblemCard
    fingerprint: str
    store: Store
    pool: Executor
    watchers: Sequence[study.Watcher]

    def specs(self, arms: Sequence[Arm], steps: int, seed: int) -> tuple[plan.Study, list[TrialSpec]]:
        asked, card = self.asked, self.card
        every = max(1, steps // EVALUATIONS)
        entry = tasks.Entry(asked.problem, steps, card.batch_size, card.learning_rate, every, "last", 1, halve_every=card.halve_every)
        suite = tasks.Suite(SUITE, 1, "successive halving on one problem", (entry,))
        first = seed % len(arms)  # turned, so that no method is always the last, which has the machine to itself
        entrants = entrants_of([*arms[first:], *arms[:first]])
        here = plan.Study(suite, entrants, 1, asked.sources, {asked.problem: self.fingerprint}, asked.where)
        return here, plan.defaults(here, "tune", seed)

    def __call__(self, stage: str, arms: Sequence[Arm], steps: int, seed: int) -> dict[Arm, list[RunRecord]]:
        """The records of every arm.

        Raises:
            UsageError: a method is not what it was when records of it were made.
        """
        here, specs = self.specs(arms, steps, seed)
        for what, (count, remedy) in study.changed_sources(specs, self.asked.sources, self.store).items():
            raise UsageError(f"{what} is not what it was when {count} of its records were made: {remedy}, or use another --results folder")
        study.stage(stage, specs, here, self.store, self.pool, self.watchers, self.asked.device, False, 1)
        by_label = {arm.label: arm for arm in arms}
        found: dict[Arm, list[RunRecord]] = {arm: [] for arm in arms}
        for record in study.records_of(specs, self.store):
            found[by_label[record.spec.entrant]].append(record)
        return found


def climb(asked: Asked, store: Store, pool: Executor, watchers: Sequence[study.Watcher], say: Callable[[str], None]) -> Found:
    """Measures, plans, and runs what is missing, for as long as was given.

    Raises:
        UsageError: too little time, equal weights cannot be trained, or no other method can.
        KeyboardInterrupt: passed on; what finished is in the store.
    """
    began = time.monotonic()
    problem = tasks.problem(asked.problem)
    card = problem.card
    fingerprint = problem.fingerprint(asked.where)
    if len(card.tasks) < 2:
        raise UsageError(f"{asked.problem} has one loss: there is nothing to balance")
    clock = Clock(asked.jobs)
    run = _Runner(asked, card, fingerprint, store, pool, [*watchers, clock])
    base = card.learning_rate
    everyone = around(dict.fromkeys((REFERENCE, *asked.methods), 0), RATES[:1], base)
    measured = {arm.method: records for arm, records in run("measuring", everyone, min(PROBE_STEPS, card.steps), PROBE_SEED).items()}
    waited = time.monotonic() - began
    left_out = {name: why for name, records in measured.items() if (why := _why(records))}
    if REFERENCE in left_out:
        raise UsageError(f"{asked.problem} cannot be trained under {REFERENCE} weights: {left_out[REFERENCE]}")
    names = [name for name in measured if name not in left_out]
    if len(names) == 1:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"no method but {REFERENCE} could be trained on {asked.problem}: {why}")
    made = plans.kept(store.root, _key(asked, card, fingerprint))
    if made is None:
        beside = clock.around()
        costs = {name: _cost(measured[name], beside) for name in names}
        made = rungs.plan(costs, [REFERENCE], asked.seconds - waited, asked.jobs, card.steps)
        plans.keep(store.root, _key(asked, card, fingerprint), made)
    say("; ".join(words_of(rung) for rung in made) + f" are planned for {len(names)} methods")

    climbed: list[tuple[int, Rung]] = []
    entered, centres = list(names), dict.fromkeys(names, 0)
    tried: dict[str, set[float]] = {name: set() for name in names}
    for number, rung in enumerate(made, 1):
        is_last = rung is made[-1]
        until = began + asked.seconds * (1.0 if is_last else number / len(made))  # a slow rung must not take the time of the next
        arms = around(centres, RATES[: rung.rates], base)
        for arm in arms:
            tried[arm.method].add(arm.rate)
        runs: Results = {arm: {} for arm in arms}
        done: list[int] = []
        for seed in rung.seeds:
            before = time.monotonic()
            for arm, records in run(f"rung {number}, seed {len(done) + 1}", arms, rung.steps, seed).items():
                runs[arm][seed] = records
            done.append(seed)
            if len(done) >= (rungs.FEWEST if is_last else 1) and 2 * time.monotonic() - before > until:
                break
        climbed.append((len(names), msgspec.structs.replace(rung, seeds=tuple(done))))
        if not is_last:
            best = best_arms(runs, REFERENCE, done)
            order = sorted((name for name in names if name != REFERENCE), key=lambda name: best[name][0])
            names = [REFERENCE, *order[: rung.keep]]
            centres = {name: best[name][1].power for name in names}
    verdict = judge({arm.method: records for arm, records in runs.items()}, REFERENCE, done)
    dropped = tuple(name for name in entered if name not in names)
    chosen = {arm.method: arm.rate for arm in arms}
    among = {name: tuple(sorted(tried[name])) for name in names}
    return Found(verdict, tuple(climbed), left_out, dropped, base, chosen, among, time.monotonic() - began)


def words_of(rung: Rung) -> str:
    """A rung in a plan."""
    rates = f" at {rung.rates} learning rates" if rung.rates > 1 else ""
    return f"{len(rung.seeds)} seed{'s' * (len(rung.seeds) > 1)} of {rung.steps} steps{rates}"


def _why(records: Sequence[RunRecord]) -> str:
    """Why a method cannot take part; empty where it can."""
    failed = next((record for record in records if record.status not in FINISHED), None)
    if failed is None:
        return ""
    return f"{failed.status}: {failed.message}" + "; give more --time" * (failed.status == "timeout")


def _cost(records: Sequence[RunRecord], around: float) -> Cost:
    """Of a trial: its first evaluations and what precedes them are what does not grow with the steps."""
    costs = [record.cost for record in records if record.cost]
    evaluations = sum(cost.evaluation for cost in costs)
    points = max(1, sum(len(record.curve) for record in records))
    return Cost(
        fixed=around + EVALUATIONS * evaluations / points,
        step=sum((cost.train + cost.method) / max(cost.steps, 1) for cost in costs),
    )


def _key(asked: Asked, card: tasks.ProblemCard, fingerprint: str) -> str:
    parts = [asked.problem, card.version, fingerprint, *sorted(asked.methods), asked.seconds, asked.jobs, asked.device]
    parts += [card.learning_rate, card.steps, STEP, *RATES, LOOKS]
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()
