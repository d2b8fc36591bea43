"""From arrays to numbers: relative changes, ranks, intervals, tests and groups. Arrays in, a small frozen dataclass out.

Two shapes carry everything. Metrics of one problem are ``[methods, seeds, metrics]``; scores are ``[methods, problems, seeds]``, lower is
better, with draws of the bootstrap in the place of seeds. Of the scores

- nan means "no such number" and is never averaged away: a method that lacks a run has nan wherever its number would be of other runs than
  those of the rest. Where all methods are nan there is only padding: problems may have different numbers of seeds.
- inf means "failed", and ranks below every number.

With one seed nothing is known of the noise: intervals and p are nan. Draws come from a generator of their own, never ``np.random``'s.
"""

from benchmark.statistics.arrays import DRAWS, Floats, stack
from benchmark.statistics.bootstrap import Bootstrap, detectable, mean_intervals, paired_bootstrap, pooled, separations
from benchmark.statistics.changes import delta_m, delta_p, relative_change, relative_costs
from benchmark.statistics.letters import letters
from benchmark.statistics.profiles import Profile, performance_profile
from benchmark.statistics.ranks import Friedman, friedman, mean_rank, studentized_range
from benchmark.statistics.robust import iqm, probability_of_improvement
from benchmark.statistics.sample import Intervals, Resamples, Sample
from benchmark.statistics.significance import Wins, against, hedges_g, holm, wilcoxon

__all__ = [
    "DRAWS",
    "Bootstrap",
    "Floats",
    "Friedman",
    "Intervals",
    "Profile",
    "Resamples",
    "Sample",
    "Wins",
    "against",
    "delta_m",
    "delta_p",
    "detectable",
    "friedman",
    "hedges_g",
    "holm",
    "iqm",
    "letters",
    "mean_intervals",
    "mean_rank",
    "paired_bootstrap",
    "performance_profile",
    "pooled",
    "probability_of_improvement",
    "relative_change",
    "relative_costs",
    "separations",
    "stack",
    "studentized_range",
    "wilcoxon",
]
