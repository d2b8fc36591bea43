"""Two entrants against each other, seed by seed: a pure function of the records.

    records -> field -> the runs that both have, paired by problem and seed -> statistics -> differences

The same field and the same Δm as the leaderboard's, on the seeds that both ran. A run that failed has no Δm: it counts as worse than any
that finished, and where there is one the difference is of the pairs that both finished, without an interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import methods
from benchmark import scoring
from benchmark.board import Estimate
from benchmark.errors import UsageError
from benchmark.evidence import Evidence
from benchmark.field import Field, assemble, evaluations
from benchmark.runs import Group, Runs, seed_range

if TYPE_CHECKING:  # numpy is loaded by ``compare`` and not by whoever imports this module
    from benchmark.statistics import Bootstrap, Floats, Sample


@dataclass(frozen=True)
class Difference:
    """The first entrant less the second, lower is better for the first; on one problem or over all."""

    label: str
    """Of the problem; ``all problems``."""
    delta_m: Estimate
    """Percentage points."""
    wins: int
    """(problem, seed) pairs in which the first is better."""
    ties: int
    losses: int
    failures: tuple[int, int]
    """Failed runs of each among the pairs."""
    seeds: int
    """Pairs of the test; over all problems, those seeds that every problem has."""
    p: float
    """Exact two-sided Wilcoxon over seeds; over all problems, of the means over problems. nan where there is one seed."""
    adjusted: float
    """``p`` of one problem by Holm over the problems; nan over all."""
    effect: float
    """Hedges' g of the paired differences of the test; nan for fewer than three, and with a failure."""
    improvement: Estimate
    """Probability that a run of the first is better than a run of the second."""
    detectable: float
    """The difference that these runs would find with a power of 80 %; nan where there is no interval."""

    @property
    def pairs(self) -> int:
        return self.wins + self.ties + self.losses


@dataclass(frozen=True)
class Comparison:
    """Everything that there is to say of two entrants."""

    suites: list[str]
    first: str
    second: str
    baseline: str
    """What Δm is measured against."""
    whole: Difference
    problems: list[Difference]
    step_time: Estimate
    """Of the first as a multiple of the second's; geometric mean over problems and seeds. nan where a run was not timed."""
    confidence: float
    notes: list[str]


@dataclass(frozen=True)
class _Pairs:
    """One problem: the seeds that both ran, and the scores of those that both finished."""

    group: Group
    seeds: list[int]
    """That both ran."""
    finished: list[int]
    """That both finished."""
    sample: Sample | None
    """[first, second] on the finished seeds; None where there are none, or no metric to compare."""


def compare(
    records: Iterable[Evidence],
    first: str,
    second: str,
    suite: str | None = None,
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compares two entrants on every problem and seed that both have and the baseline finished.

    Args:
        records: as of :func:`benchmark.table.build`.
        first: an entrant.
        second: another one.
        suite: leave out the records of other suites.
        baseline: what Δm is measured against, in place of single-task training.
        confidence: level of the intervals.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        UsageError: one entrant twice, one that has no records, no baseline, records of several protocols, or no problem and seed in common.
    """
    from benchmark import statistics

    if first == second:
        raise UsageError(f"{first!r} is compared with itself: give two entrants")
    field = assemble(evaluations(records, suite), baseline)
    for name in (first, second):
        if name not in field.entrants:
            known = ", ".join(field.entrants) or "none"
            raise UsageError(f"no evaluation records of {name!r}{methods.suggestion(name, field.entrants)} (there are: {known})")
    if field.baseline is None:
        raise UsageError(
            f"there are no records of single-task training to measure {first} and {second} against: "
            f"make them (python -m benchmark run), or measure against one of the two: --baseline {second}"
        )
    paired = [_pairs(group, field, first, second) for group in field.groups]
    members = [each for each in paired if each.seeds]
    if not members:
        raise UsageError(_nothing_in_common(field, first, second))
    notes = [note for group in field.groups for note in _remarks(group, first, second)]
    samples = [each.sample for each in members if each.sample is not None]
    boot = statistics.paired_bootstrap(samples, draws, seed) if samples else None
    scores = _scores(members, first, second)
    chosen = _Paired(members, scores, boot, confidence, draws, seed)
    problems = [chosen.difference([index]) for index in range(len(members))]
    adjusted = statistics.holm([each.p for each in problems]).tolist()
    problems = [replace(each, adjusted=p) for each, p in zip(problems, adjusted, strict=True)]
    whole = replace(chosen.difference(list(range(len(members)))), label="all problems")
    suites = sorted({each.group.problem.suite for each in members})
    times = _step_times(members, first, second, draws, seed, confidence)
    of_both = [note for note in field.notes if any(name in note for name in (first, second, field.baseline_name))]
    return Comparison(suites, first, second, field.baseline, whole, problems, times, confidence, [*of_both, *notes])


@dataclass(frozen=True)
class _Paired:
    """All pairs as arrays, of which some problems are looked at."""

    members: Sequence[_Pairs]
    scores: Floats
    """[2, problems, seeds]"""
    boot: Bootstrap | None
    """Of those members that have a sample."""
    confidence: float
    draws: int
    seed: int

    def difference(self, chosen: list[int]) -> Difference:
        """Over these problems together."""
        import numpy as np

        from benchmark import statistics

        scores = self.scores[:, chosen]
        exist = ~np.isnan(scores[0])
        fought = statistics.against(scores, 1)
        common = exist.all(axis=0)
        means = scores[:, :, common].mean(axis=1)  # [2, seeds]
        failures = np.isinf(scores).sum(axis=(1, 2))
        value, reachable = self._delta_m(chosen, whole=not failures.any())
        improvement = statistics.probability_of_improvement(scores, 1, self.draws, self.seed, self.confidence)
        return Difference(
            label=self.members[chosen[0]].group.problem.label,
            delta_m=value,
            wins=int(fought.wins[0]),
            ties=int(fought.ties[0]),
            losses=int(fought.losses[0]),
            failures=(int(failures[0]), int(failures[1])),
            seeds=int(common.sum()),
            p=float(fought.p[0]),
            adjusted=math.nan,
            effect=math.nan if failures.any() else float(statistics.hedges_g(means[0] - means[1])),
            improvement=scoring.estimate(improvement, 0),
            detectable=reachable,
        )

    def _delta_m(self, chosen: list[int], *, whole: bool) -> tuple[Estimate, float]:
        """The difference with its interval, and the one that could be found. Both are of the finished pairs; no interval where not
        ``whole``, or where one of these problems has no metric to compare."""
        from benchmark import statistics

        sampled = [index for index, each in enumerate(self.members) if each.sample is not None]
        columns = [sampled.index(index) for index in chosen if index in sampled]
        if self.boot is None or not columns:
            return Estimate(), math.nan
        every = self.boot.delta_m
        some = statistics.Resamples(every.estimate[:, columns], every.draws[:, columns], every.seeds[columns]).minus(1)
        found = scoring.estimate(statistics.pooled(some, self.confidence), 0)
        if not whole or len(columns) < len(chosen):
            return Estimate(found.value), math.nan
        return found, float(statistics.detectable(some, self.confidence)[0])


def _pairs(group: Group, field: Field, first: str, second: str) -> _Pairs:
    """What two entrants have in common on one problem."""
    problem = group.problem
    one, other = group.runs.get(first, {}), group.runs.get(second, {})
    seeds = [seed for seed in problem.seeds if seed in one and seed in other] if problem.baseline else []
    finished = [seed for seed in seeds if one[seed].done and other[seed].done]
    names = list(dict.fromkeys((first, second, str(field.baseline))))
    runs: Runs = {name: {seed: group.runs[name][seed] for seed in finished} for name in names if name in group.runs}
    sample = None
    if finished:
        alone = replace(field, entrants=names)
        found = scoring.score(Group(replace(problem, seeds=finished), runs), alone).sample
        sample = found and replace(found, values=found.values[:2])
    return _Pairs(group, seeds, finished, sample)


def _scores(members: Sequence[_Pairs], first: str, second: str) -> Floats:
    """[2, problems, seeds] Δm of single runs; inf for a failed run, and 0 for one that finished where the other failed."""
    import numpy as np

    columns = sorted({seed for each in members for seed in each.seeds})
    scores = np.full((2, len(members), len(columns)), np.nan)
    for row, each in enumerate(members):
        if each.sample is not None:
            scores[:, row, [columns.index(seed) for seed in each.finished]] = each.sample.scores()
        for seed in each.seeds:
            if seed not in each.finished:
                runs = (each.group.runs[name][seed] for name in (first, second))
                scores[:, row, columns.index(seed)] = [0.0 if run.done else np.inf for run in runs]
    return scores


def _step_times(members: Sequence[_Pairs], first: str, second: str, draws: int, seed: int, confidence: float) -> Estimate:
    """Ratio of step times with its interval, from the logarithms of the ratios of pairs."""
    import numpy as np

    from benchmark import statistics
    from benchmark.statistics.arrays import redrawn

    logs = []
    for each in members:
        of = [[each.group.runs[name][number].step_seconds for number in each.finished] for name in (first, second)]
        times = np.array(of)
        logs.append(np.subtract(*np.log(np.where(times > 0, times, np.nan))))
    logs = [each for each in logs if len(each)]
    if not logs or any(np.isnan(each).any() for each in logs):
        return Estimate()
    sizes = [len(each) for each in logs]
    drawn = [counts @ each / len(each) for counts, each in zip(redrawn(sizes, draws, seed), logs, strict=True)]
    means = np.array([[each.mean() for each in logs]])
    found = statistics.pooled(statistics.Resamples(means, np.array([drawn]), np.array(sizes)), confidence)
    return Estimate(*(float(np.exp(bound[0])) for bound in (found.value, found.low, found.high)))


def _remarks(group: Group, first: str, second: str) -> list[str]:
    """What one of the two lacks on a problem."""
    problem = group.problem
    runs = {name: group.runs.get(name, {}) for name in (first, second)}
    notes = []
    for name, other in ((first, second), (second, first)):
        alone = [seed for seed in problem.seeds if seed in runs[name] and seed not in runs[other]]
        if alone:
            notes.append(f"{problem.label}: {other} was not run with {seed_range(alone)}, so {name}'s runs with it are left out")
    return notes


def _nothing_in_common(field: Field, first: str, second: str) -> str:
    """Why no pair is left."""
    ran = [
        f"{name} ran {', '.join(f'{group.problem.label} ({seed_range(group.runs[name])})' for group in field.groups if name in group.runs)}"
        for name in (first, second)
    ]
    return f"{first} and {second} have no problem and seed in common that {field.baseline_name} finished: {'; '.join(ran)}"
