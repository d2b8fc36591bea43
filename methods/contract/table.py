"""The checks, in the order in which they are made."""

from __future__ import annotations

from methods.contract import batches, builds, claims, derivatives, differs, edges, state
from methods.contract.outcome import Check

CHECKS = (
    Check("builds", "it can be made and takes a step", builds.builds),
    Check("finite", "finite updates on zero, tiny, huge, rank-deficient, anti-parallel and duplicated gradients", edges.stays_finite),
    Check("not_finite", "losses and gradients that are not finite give nan and leave the state", edges.not_finite),
    Check("zero", "gradients of zero give no update", edges.zero),
    Check("unreached", "parameters and losses that no gradient reaches", edges.unreached),
    Check("weights", "the update is the weighted sum that the step tells", claims.weights),
    Check("determinism", "its seed alone decides", state.determinism),
    Check("state", "a run can be saved, copied and continued in the middle", state.state),
    Check("batches", "the batches that it asks for are used, and nothing else is touched", batches.batches),
    Check("derivatives", "derivatives that are written out are those of the objective", derivatives.derivatives),
    Check("claims", "every claim on its card holds", claims.claims),
    Check("differs", "it differs from equal weights and every other method, or its card says which it coincides with", differs.differs),
)
