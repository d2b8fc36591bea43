"""The contract's linear losses, and which methods are asked what."""

from __future__ import annotations

import methods
from methods.contract.linear import after_step, backward, close, create, direction, gramian, losses_at, losses_of, step, unit

__all__ = [
    "OBJECTIVE",
    "PASSES",
    "WEIGHTED",
    "after_step",
    "backward",
    "close",
    "create",
    "direction",
    "gramian",
    "losses_at",
    "losses_of",
    "step",
    "unit",
]

WEIGHTED = [name for name in methods.names() if methods.card(name).family != "jacobian"]
"""Methods whose update is a weighted sum of the task gradients, and that say with which weights."""

OBJECTIVE = [name for name in methods.names() if issubclass(methods.get(name), (methods.LossMethod, methods.BilevelMethod))]
"""Methods that back-propagate the weighted losses and need no shared parameters."""

PASSES = {"sdmgrad": 9, "modo": 6, "auto_lambda": 3, "moml": 7, "forum": 10}
"""Expected backward passes of a step on three tasks, where it is neither one nor three."""
