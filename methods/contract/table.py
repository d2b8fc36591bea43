"""The checks, in the order in which they are made."""

from __future__ import annotations

from methods.contract import (
    batches,
    builds,
    cards,
    claims,
    cost,
    derivatives,
    differs,
    edges,
    improves,
    manners,
    needs,
    shapes,
    state,
    surroundings,
)
from methods.contract.outcome import Check

CHECKS = (
    Check("builds", "it can be made and takes a step", builds.builds, needs_a_step=False),
    Check("card", "what its card says is filled in, in range and used", cards.card, unless=cards.no_card),
    Check("needs", "the facts that it asks for are those that it uses", needs.needs),
    Check("shapes", "parameters and losses of any shape give the same update", shapes.shapes),
    Check("dtypes", "float64, float32, bfloat16 and float16", shapes.dtypes),
    Check("devices", "the same on a GPU, where there is one", shapes.devices, unless=shapes.no_gpu),
    Check("tasks", "1, 2, 3, 10 and 40 tasks", shapes.tasks),
    Check("finite", "finite updates on zero, tiny, huge, rank-deficient, anti-parallel and duplicated gradients", edges.stays_finite),
    Check("not_finite", "losses and gradients that are not finite give nan and leave the state", edges.not_finite),
    Check("zero", "gradients of zero give no update", edges.zero),
    Check("unreached", "parameters and losses that no gradient reaches", edges.unreached),
    Check("inputs_untouched", "what it is handed stays as it is", manners.inputs_untouched),
    Check("other_gradients", "it adds to the gradients that are its business, and touches no others", manners.other_gradients),
    Check("weights", "the update is the weighted sum that the step tells", claims.weights, unless=claims.tells_no_weights),
    Check("determinism", "its seed alone decides", state.determinism),
    Check(
        "global_state", "nothing of the whole program is used or changed: random state, dtype, threads, modes", surroundings.global_state
    ),
    Check("state", "a run can be saved, copied and continued in the middle", state.state),
    Check("batches", "the batches that it asks for are used, and nothing else is touched", batches.batches),
    Check(
        "derivatives",
        "derivatives that are written out are those of the objective",
        derivatives.derivatives,
        unless=derivatives.absent,
    ),
    Check("events", "no events on well-posed input", cost.events),
    Check("claims", "every claim on its card holds", claims.claims),
    Check("differs", "it differs from equal weights and every other method, or its card says which it coincides with", differs.differs),
    Check("improves", "convex losses fall, and come near the Pareto set where that is claimed", improves.improves),
    Check("cost", "what a step takes beside equal weights, and backward passes as counted", cost.cost),
)
