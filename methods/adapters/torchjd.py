"""torchjd: aggregators J ``[T, P]`` -> ``[P]``, weightings of G ``[T, T]`` or of J -> ``[T]``, scalarizers of losses ``[T]``.

Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024 (arXiv 2406.16232); https://github.com/SimplexLab/TorchJD.
Names that are in two of its modules (Mean, Sum, Random, Constant) are the aggregators; ``torchjd.scalarization:Mean`` is the scalarizer.
"""

from __future__ import annotations

import typing
from typing import Any

from methods.adapters import Adapter, Role
from methods.errors import MethodError

TWO_BATCHES = ("MoDoWeighting", "SDMGradWeighting")
"""Weightings of J₁J₂ᵀ; their types say ``Matrix``, as those of the weightings of J do."""

_TWO_BATCHES = "it works on the gradients of two independent batches, and a step here has one"
_EPOCHS = (
    "its step() is due at the end of every epoch, and only your own loop knows when: make the object there, and "
    "methods.adapt(it, num_tasks)"
)
_ABSTRACT = "it is abstract: name one of its subclasses"


def role(thing: Any, by_name: bool) -> Role | None:
    from torchjd.aggregation import Aggregator, Weighting
    from torchjd.scalarization import Scalarizer

    if isinstance(thing, Aggregator):
        return Role("jacobian")
    if isinstance(thing, Weighting):
        return Role("gramian") if _of_gramians(thing) else Role("jacobian", call=_combine)
    if isinstance(thing, Scalarizer):
        if by_name and callable(getattr(thing, "step", None)):
            raise MethodError(_EPOCHS)
        return Role("loss", observe=_update if callable(getattr(thing, "update", None)) else None)
    return None


def _combine(weighting: Any, jacobian: Any) -> Any:
    return weighting(jacobian) @ jacobian


def _update(scalarizer: Any, losses: Any) -> Any:
    return scalarizer.update(losses)


def _of_gramians(weighting: Any) -> bool:
    """Whether its class says ``Weighting[PSDMatrix]``; one that smooths another's weights is for what the other is for."""
    from torchjd.aggregation import CRMOGMWeighting, Weighting
    from torchjd.linalg import PSDMatrix

    if isinstance(weighting, CRMOGMWeighting):
        return _of_gramians(weighting.weighting)
    kinds = [base.__name__ for base in type(weighting).__mro__]
    if any(name in kinds for name in TWO_BATCHES):
        raise MethodError(_TWO_BATCHES)
    declared = [form for base in type(weighting).__mro__ for form in vars(base).get("__orig_bases__", ())]
    return any(typing.get_origin(form) is Weighting and PSDMatrix in typing.get_args(form) for form in declared)


ADAPTER = Adapter(
    modules=("torchjd.aggregation", "torchjd.scalarization"),
    install="lossbench[bench]",
    refused={
        **dict.fromkeys(TWO_BATCHES, _TWO_BATCHES),
        **dict.fromkeys(("Aggregator", "Weighting", "Scalarizer"), _ABSTRACT),
        "DWA": _EPOCHS,
    },
    num_tasks=("n_tasks", "shape"),
    role=role,
)
