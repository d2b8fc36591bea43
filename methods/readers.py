"""Heads that read the trunk through one linear layer each: these layers are passed together, and autograd passes what is above them.

Autograd would pass them one after the other. What the losses send to their outputs is enough: with δ_t ``[n, o]`` there, the trunk gets
δ_t W_t, the weight δ_tᵀ z and the bias Σ δ_t. Hooks on outputs are heard, and those on z with the sum of what it gets; one on the transpose
of a weight is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from methods.graph import AFFINE, Anatomy, affine, affine_inputs


@dataclass(frozen=True, slots=True)
class Reader:
    """The linear layer of a head: its node, Wᵀ ``[k, o]`` as autograd saved it, and which of the heads' leaves are its own."""

    node: Node
    transposed: Tensor
    weight: int
    bias: int | None


@dataclass(frozen=True, slots=True)
class Readers:
    """Those of all tasks, in order.

    Attributes:
        target: the output of the trunk that they read, as node and number.
        inputs: z ``[n, k]``, that output.
    """

    target: tuple[Node, int]
    inputs: Tensor
    readers: tuple[Reader, ...]

    def backward(
        self, starts: Sequence[Any], seeds: Sequence[Tensor], leaves: Sequence[Tensor], out: Tensor | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """What each task sends to the trunk ``[T, n, k]``, in ``out`` if it is given, and the gradients of all leaves of the heads."""
        own = {i for reader in self.readers for i in (reader.weight, reader.bias)}
        others = [i for i in range(len(leaves)) if i not in own]
        edges: list[Any] = [GradientEdge(reader.node, 0) for reader in self.readers]
        found = torch.autograd.grad(starts, [*edges, *(leaves[i] for i in others)], seeds, allow_unused=True)
        gradients: list[Tensor | None] = [None] * len(leaves)
        for i, gradient in zip(others, found[len(edges) :], strict=True):
            gradients[i] = gradient
        z, matrices = self.inputs, [reader.transposed.T for reader in self.readers]
        signals = [
            z.new_zeros(len(z), len(matrix)) if signal is None else signal.to_dense() if signal.is_sparse else signal
            for signal, matrix in zip(found, matrices, strict=False)
        ]
        sent = z.new_empty(len(signals), *z.shape) if out is None else out
        widths = [len(matrix) for matrix in matrices]
        if len(set(widths)) == 1:
            torch.bmm(torch.stack(signals), torch.stack(matrices), out=sent)
        else:
            for signal, matrix, one in zip(signals, matrices, sent, strict=True):
                torch.mm(signal, matrix, out=one)
        edge: Any = GradientEdge(*self.target)
        torch.autograd.grad([edge], [edge], [sent.sum(0)])
        together = torch.cat(signals, dim=1)
        weights, biases = torch.split(together.T @ z, widths), torch.split(together.sum(0), widths)
        for reader, weight, bias, signal in zip(self.readers, weights, biases, found, strict=False):
            if signal is not None:
                gradients[reader.weight] = weight
                if reader.bias is not None:
                    gradients[reader.bias] = bias
        return sent, gradients


def of(anatomy: Anatomy, tasks: int) -> Readers | None:
    """The readers of T heads.

    None where some head meets the trunk otherwise, somebody listens to such a layer's node itself, what it saved is packed away or to be
    computed again, or is complex.
    """
    targets = {(crossing.target, crossing.number) for crossing in anatomy.crossings}
    if len(targets) != 1 or [crossing.task for crossing in anatomy.crossings] != list(range(tasks)):
        return None
    found = []
    for crossing in anatomy.crossings:
        node: Any = crossing.node
        children = node.next_functions
        if node.name() not in AFFINE or crossing.position != len(children) - 2:
            return None
        layer = affine(node, children, anatomy.twice, anatomy.single, anatomy.heads)
        biased = len(children) == 3 and children[0][0] is not None
        if layer is None or biased != (layer[1] is not None) or _listened(node) or _packed(node._raw_saved_mat2):
            return None
        found.append(Reader(node, node._saved_mat2.detach(), *layer))
    inputs = affine_inputs(found[0].node).detach()
    return None if inputs.is_complex() else Readers(targets.pop(), inputs, tuple(found))


def _packed(saved: Any) -> bool:
    """Whether a saved tensor is behind hooks that bring it back: those of one layer may bring all."""
    return getattr(saved, "unpack_hook", None) is not None


def _listened(node: Node) -> bool:
    """Whether the node has a hook of its own: a handle leads to those that were there before. Hooks on tensors are others."""
    for register in (node.register_prehook, node.register_hook):
        hooks: Any = register(_silent).hooks_dict_ref()
        hooks.popitem()
        if hooks:
            return True
    return False


def _silent(*given: Any) -> None:
    """A hook that changes nothing."""
