"""What each method is asked, for one seed: it decides from the losses of that seed alone, its Gramian or its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor

import methods
from benchmark.vectorized.support import Kind
from methods.families import GramianMethod, JacobianMethod, LossMethod


def _from_losses(method: methods.Method, losses: Tensor) -> Tensor:
    return cast(LossMethod, method).weigh(losses)


def _from_gramian(method: methods.Method, losses: Tensor, gramian: Tensor) -> Tensor:
    return cast(GramianMethod, method).weigh(gramian, losses)


def _from_jacobian(method: methods.Method, losses: Tensor, jacobian: Tensor) -> Tensor:
    return cast(JacobianMethod, method).turn(jacobian, losses)


ASK: dict[Kind, Callable[..., Tensor]] = {
    "losses": _from_losses,
    "last": _from_gramian,
    "shared": _from_gramian,
    "representation": _from_gramian,
    "jacobian": _from_jacobian,
}
"""What a step returns for one seed, to what its method decides from that: weights ``[T]``, or a direction ``[P_shared]``."""

ON_HOST: frozenset[Kind] = frozenset({"last", "shared", "representation"})
"""What is decided on the host: copied there once for all seeds, where it is not there already."""
