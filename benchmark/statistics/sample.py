"""One problem's metrics, scores with their draws, and estimates with their bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.statistics.arrays import Booleans, Floats
from benchmark.statistics.changes import delta_m, relative_change


@dataclass(frozen=True)
class Sample:
    """One problem's test metrics; row ``s`` of every method and of the baseline comes from the same seed."""

    values: Floats
    """[methods, seeds, metrics]; nan where a run failed or is missing."""
    baseline: Floats
    """[seeds, metrics]: single-task training."""
    higher_is_better: Booleans
    """[metrics]"""
    task: NDArray[np.int64]
    """[metrics]: index of the task that each metric belongs to."""

    def scores(self) -> Floats:
        """Δm % of every single run, ``[methods, seeds]``: its change against the baseline's mean over seeds.

        As the change is linear in the run, the mean over seeds is exactly the Δm of the mean metrics, which ``paired_bootstrap`` estimates.
        The baseline's noise is common to all methods, and in no interval of these scores. nan where the run is.
        """
        return delta_m(relative_change(self.values, self.baseline.mean(axis=0), self.higher_is_better))


@dataclass(frozen=True)
class Resamples:
    """A score of every method on every problem, and its bootstrap draws. Draw ``b`` used the same seeds for all methods."""

    estimate: Floats
    """[methods, problems]"""
    draws: Floats
    """[methods, problems, draws]"""
    seeds: NDArray[np.int64]
    """[problems]: number of seeds behind each problem."""

    def on(self, problem: int) -> Resamples:
        """The same score on one problem alone."""
        return Resamples(self.estimate[:, [problem]], self.draws[:, [problem]], self.seeds[[problem]])

    def minus(self, method: int) -> Resamples:
        """Paired differences to one method: the baseline's noise, which all methods share, cancels."""
        return Resamples(self.estimate - self.estimate[[method]], self.draws - self.draws[[method]], self.seeds)


@dataclass(frozen=True)
class Intervals:
    """Point estimates with confidence bounds, one a method; bounds are nan where nothing is known about the noise."""

    value: Floats
    low: Floats
    high: Floats
