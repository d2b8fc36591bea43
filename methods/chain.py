"""T gradients at once, backwards through a trunk that is one chain of linear layers and elementwise functions.

Autograd passes several gradients at once by batching every function anew and into fresh memory. In a chain of known functions the pass
is one product a layer, written where the layer's gradients are kept from step to step, and one function applied there in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from methods.graph import Anatomy

aten = torch.ops.aten


Elementwise = Callable[[Any, Tensor], None]
"""From a node and the gradients ``[C, n, k]`` at its outputs those at its inputs, in place."""


def _by(operator: Any, saved: str, *attributes: str, fixed: tuple[Any, ...] = (), **named: str) -> Elementwise:
    """By autograd's own operator on the gradient, what the node saved of its values, and its attributes."""

    def apply(node: Any, gradient: Tensor) -> None:
        values = getattr(node, saved).detach().expand_as(gradient)
        settings = [getattr(node, attribute) for attribute in attributes]
        operator.grad_input(gradient, values, *settings, *fixed, **{k: getattr(node, v) for k, v in named.items()}, grad_input=gradient)

    return apply


ELEMENTWISE: dict[str, Elementwise] = {
    "ReluBackward0": _by(aten.threshold_backward, "_saved_result", fixed=(0,)),
    "TanhBackward0": _by(aten.tanh_backward, "_saved_result"),
    "SigmoidBackward0": _by(aten.sigmoid_backward, "_saved_result"),
    "SiluBackward0": _by(aten.silu_backward, "_saved_self"),
    "GeluBackward0": _by(aten.gelu_backward, "_saved_self", approximate="_saved_approximate"),
    "LeakyReluBackward0": _by(aten.leaky_relu_backward, "_saved_self", "_saved_negative_slope", fixed=(False,)),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A linear layer, after the elementwise functions, each with its node, between it and the heads, or the layer above."""

    functions: tuple[tuple[Elementwise, Any], ...]
    node: Any
    weight: Tensor | None
    """W ``[k, d]`` as autograd saved it; None for the lowest layer, below which nothing is wanted."""


def links(anatomy: Anatomy, uses: Mapping[Node, int], linear: Sequence[Node]) -> tuple[Link, ...] | None:
    """From the heads down to the last of these layers; None where that is anything but one chain of them and elementwise functions.

    ``uses``: how many nodes of heads and trunk read each of the trunk's.
    """
    targets = {(crossing.target, crossing.number) for crossing in anatomy.crossings}
    if len(targets) != 1:
        return None
    ((node, number),) = targets
    found: list[Link] = []
    functions: list[tuple[Elementwise, Node]] = []
    above = len(anatomy.crossings)  # the nodes that may read this one
    while len(found) < len(linear):
        children = anatomy.trunk[node]
        if number or uses[node] != above or not children:
            return None
        if node in linear:
            below, number = children[1] if node.name() == "AddmmBackward0" else children[0]
            found.append(Link(tuple(functions), node, None if len(found) + 1 == len(linear) else _weight(node)))
            functions = []
        else:
            function = ELEMENTWISE.get(node.name())
            if function is None:
                return None
            functions.append((function, node))
            below, number = children[0]
        if below is None:
            break
        node, above = below, 1
    return tuple(found) if len(found) == len(linear) else None


def _weight(node: Any) -> Tensor:
    saved: Tensor = node._saved_mat2
    return saved.detach().T


def descend(links: Sequence[Link], kept: Sequence[Tensor]) -> None:
    """Fills ``kept[l]`` ``[T, n, k]``, the gradients at the outputs of layer l, from ``kept[0]``, which holds those of the trunk."""
    for i, link in enumerate(links):
        for function, node in link.functions:
            function(node, kept[i])
        if link.weight is not None:
            torch.mm(kept[i].flatten(0, 1), link.weight, out=kept[i + 1].flatten(0, 1))
