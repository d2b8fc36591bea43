"""How a stage of a study stands while it runs: who leads by validation score, and where the time goes. Each trial adds a little; asking
costs the same after ten and after ten thousand."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmark import selection
from benchmark.executors import Job
from benchmark.records import FINISHED, RunRecord
from benchmark.study import name_of


@dataclass(frozen=True)
class Standing:
    """One entrant."""

    entrant: str
    score: float
    """Mean over its problems; lower is better."""
    problems: int
    trials: int


@dataclass
class _Group:
    """Of one search: the configurations that are tuned, or the seeds of an evaluation."""

    count: int = 0
    total: float = 0.0
    least: float = float("inf")


class Scores:
    """Validation scores by entrant: while tuning the best configuration's, in an evaluation the mean over seeds.

    Only of trials that ran while this watched; those of earlier runs are in the leaderboard.
    """

    def __init__(self) -> None:
        self._tuning = False
        self._found: dict[str, dict[str, dict[tuple[object, ...], _Group]]] = {}
        self._trials: Counter[str] = Counter()

    def add(self, record: RunRecord) -> None:
        spec, score = record.spec, selection.loss_of(record)
        if record.status not in FINISHED or score is None:
            return
        problems = self._found.setdefault(spec.entrant, {})
        scores = problems.setdefault(spec.problem, {}).setdefault(selection.group(spec), _Group())
        scores.count += 1
        scores.total += score
        scores.least = min(scores.least, score)
        self._tuning = spec.role == "tune"
        self._trials[spec.entrant] += 1

    def best(self, number: int) -> list[Standing]:
        """The first few, those with most problems before the others: means over different problems say little."""
        found = []
        for entrant, problems in list(self._found.items()):  # copied whole: another thread may add meanwhile
            means = [statistics.fmean(map(self._value, list(groups.values()))) for groups in list(problems.values()) if groups]
            if means:
                found.append(Standing(entrant, statistics.fmean(means), len(means), self._trials[entrant]))
        return sorted(found, key=lambda each: (-each.problems, each.score))[:number]

    def _value(self, scores: _Group) -> float:
        return scores.least if self._tuning else scores.total / max(1, scores.count)


@dataclass
class TimeUse:
    """Seconds of all workers together, by what they went into."""

    jobs: int
    """Workers."""
    train: float = 0.0
    method: float = 0.0
    evaluation: float = 0.0
    other: float = 0.0
    """Of trials that ended: opening the data, building the model, the way there and back."""
    _began: dict[str, tuple[Job, float]] = field(default_factory=dict)
    _start: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, job: Job) -> None:
        with self._lock:
            now = time.monotonic()
            self._began.update({spec.id: (job, now) for spec in job.specs})

    def lose(self, job: Job) -> None:
        """Of a job that was lost: its time counts as waiting."""
        with self._lock:
            for spec in job.specs:
                self._began.pop(spec.id, None)

    def end(self, record: RunRecord) -> None:
        cost = record.cost
        with self._lock:
            began = self._began.pop(record.id, None)
            spent = cost.train + cost.method + cost.evaluation if cost else 0.0
            if cost:
                self.train, self.method, self.evaluation = (
                    self.train + cost.train,
                    self.method + cost.method,
                    self.evaluation + cost.evaluation,
                )
            if began is not None:
                job, when = began
                self.other += max(0.0, (time.monotonic() - when) / len(job.specs) - spent)

    def running(self, number: int) -> list[str]:
        """A line each for the jobs that have been running longest, as far as they are known."""
        with self._lock:
            began = dict(self._began)
        now = time.monotonic()
        jobs = {id(job): (job, when) for job, when in began.values()}
        first = sorted(jobs.values(), key=lambda each: each[1])[:number]
        return [f"{name_of(job.specs)}, {now - when:.0f} s" for job, when in first]

    def __str__(self) -> str:
        """Shares of what is over; what runs is not, and counts for nothing yet."""
        with self._lock:
            now = time.monotonic()
            underway = {id(job): now - when for job, when in self._began.values()}
            known = {"training": self.train, "method": self.method, "evaluation": self.evaluation, "set-up": self.other}
            waiting = max(0.0, self.jobs * (now - self._start) - sum(known.values()) - sum(underway.values()))
        shares = {**known, "waiting": waiting}
        total = sum(shares.values()) or 1.0
        return ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in shares.items())
