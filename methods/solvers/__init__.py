"""The T x T problems, solved in float64 on the host. Scale-free: every Gramian is equilibrated before any tolerance looks at it.

Every solver returns its answer with a certificate of it, so that a failure is an event and never a silent fallback. ``eps`` is the
rounding of the Gramian that it is given: below it, gradients that cancel cannot be told from gradients that do not.
"""

from methods.solvers.cone import Projections, cone_projections
from methods.solvers.conflict import ConflictAverse, conflict_averse
from methods.solvers.constrained import Constrained, constrained_min_norm
from methods.solvers.fairness import Fair, fair
from methods.solvers.matrix import Array, Cosines, eigensystem, equilibrated, nearest_definite
from methods.solvers.orthant import Nonnegative, nonnegative
from methods.solvers.simplex import MinNorm, balance, frank_wolfe, min_norm, project_simplex

CERTIFIED = 1e-8
"""A relative certificate above this is an event: ``self.count("..._gap")``."""

__all__ = [
    "CERTIFIED",
    "Array",
    "ConflictAverse",
    "Constrained",
    "Cosines",
    "Fair",
    "MinNorm",
    "Nonnegative",
    "Projections",
    "balance",
    "cone_projections",
    "conflict_averse",
    "constrained_min_norm",
    "eigensystem",
    "equilibrated",
    "fair",
    "frank_wolfe",
    "min_norm",
    "nearest_definite",
    "nonnegative",
    "project_simplex",
]
