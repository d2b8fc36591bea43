"""The Gramian layer by layer: exact, and for small batches below the cost of T backward passes, because J is never formed.

A linear layer with inputs x ``[n, d]`` (n samples, or samples times positions) and the gradients δ_t ``[n, k]`` of loss t at its outputs
has the weight gradient δ_tᵀ x, and

    <δ_tᵀ x, δ_sᵀ x> = Σ_ij (x xᵀ)_ij <δ_ti, δ_sj>.

So the passes through the trunk need input gradients only, which is half of their work, and several of them run as one. Of the T weight
gradients of a layer their weighted sum alone is ever needed: (Σ w_t δ_t)ᵀ x. A convolution is a linear layer on the patches of its input.
(Goodfellow 2015, arXiv 1510.01799, has the identity for the norms of per-sample gradients.)

Hooks on activations inside the trunk see several gradients at once, or, in a chain of known functions (:mod:`methods.chain`), none: who
needs them takes ``path="rows"``. Hooks on parameters are seen, and then rows are taken.

Where n is large against the width, the weight gradients are cheaper than the products of the samples: each layer gets what needs fewer
multiplications (:func:`choose`). Parameters of any other kind get rows of J, as all do in :mod:`methods.jacobian`.

Here the layers are found in the graph of a step and it is decided what takes each; :mod:`methods.layerwise` then takes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from methods import chain, graph
from methods.graph import Anatomy, Children, Root

Kind = Literal["samples", "rows"]
Once = Callable[[Node | None], int | None]

FEW = 3
"""Tasks up to which the heads are rather passed twice (measured: at 3, 0.96 to 1.07 of the step; 0.78 at 10, 0.55 at 40)."""
WORTH = 1e7
"""Multiplications that a step must save before it goes layer by layer: what it costs to take the graph apart, in multiplications."""
HEAD = 8
"""Nodes from a loss down its head in which a linear layer is looked for."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear or convolutional layer of the trunk.

    Attributes:
        node: the outputs come from it.
        inputs: x ``[n, d]``, a row for each sample and position.
        width: k, the number of outputs of each row.
        weight, bias: their indices among the wanted parameters; None without a bias that is trained.
        convolution: whether outputs come as ``[b, k, height, width]``.
        kind: by products of its ``samples``, or by the ``rows`` of J that are its own.
    """

    node: Node
    inputs: Tensor
    width: int
    weight: int
    bias: int | None
    convolution: bool
    kind: Kind

    def signals(self, gradients: Tensor) -> Tensor:
        """δ ``[C, n, k]`` from C gradients at the outputs."""
        if self.convolution:
            gradients = gradients.flatten(3).transpose(2, 3)
        return gradients.reshape(len(gradients), -1, self.width)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the Gramian of a step is taken.

    Attributes:
        anatomy: the parts of the graph.
        layers: what takes each layer.
        others: the indices of all other wanted parameters in the graph.
        links: the layers from the heads down, where the trunk is one chain of them.
    """

    anatomy: Anatomy
    layers: tuple[Layer, ...]
    others: tuple[int, ...]
    links: tuple[chain.Link, ...] | None

    @property
    def summary(self) -> str:
        by_samples = sum(layer.kind == "samples" for layer in self.layers)
        return f"layers: {by_samples} by samples, {len(self.layers) - by_samples} by rows, {len(self.others)} other parameters"


def choose(tasks: int, samples: int, inputs: int, width: int) -> tuple[Kind, int]:
    """What takes a layer with fewer multiplications, and how many fewer than its rows: x xᵀ, its products with T δ, and theirs with each
    other, against T weight gradients and their products."""
    by_samples = samples**2 * (inputs + tasks * width) + tasks**2 * samples * width
    by_rows = tasks * samples * inputs * width + tasks**2 * inputs * width
    return ("samples", by_rows - by_samples) if by_samples < by_rows else ("rows", 0)


def plan(roots: Sequence[Root | None], shared: Sequence[nn.Parameter], forced: bool = False) -> Plan | None:
    """The layers of the trunk, each with what takes it cheapest; None where T backward passes are the only way, or no dearer.

    ``forced`` takes every layer by its samples, whatever that costs.
    """
    if not forced and _too_many_samples(roots, shared):
        return None
    found = _planned(roots, shared, shared, forced)
    if found is None or not found[0].layers or (found[1] < WORTH and not forced):
        return None
    return found[0]


def _too_many_samples(roots: Sequence[Root | None], shared: Sequence[nn.Parameter]) -> bool:
    """Whether as many as the first head's linear layer sees are too many for it to be worth it, in all of the trunk.

    That takes a few nodes of the graph, a tenth of what it takes to find the layers. Where the trunk sees more, as before it pools, there
    is still the count of each layer; where it sees fewer, T backward passes are right as well.
    """
    node: Any = roots[0].node if roots[0] is not None else None
    for _ in range(HEAD):
        if node is None:
            break
        if node.name() in ("AddmmBackward0", "MmBackward0"):  # their sizes, as what they saved may be packed away
            samples, _ = node._saved_mat1_sym_sizes if node.name() == "AddmmBackward0" else node._saved_self_sym_sizes
            sizes = [(p.numel() // len(p), len(p)) for p in shared if p.dim() > 1 and p.numel()]
            return sum(choose(len(roots), samples, *size)[1] for size in sizes) < WORTH
        node = next((child for child, _ in node.next_functions if child is not None), None)
    return False


def plan_of(
    wanted: Sequence[nn.Parameter], roots: Sequence[Root | None], shared: Sequence[nn.Parameter], forced: bool = False
) -> Plan | None:
    """The same for a Gramian of some of the trunk's parameters alone, whose indices are theirs among ``wanted``.

    It spares a second pass through the heads for the update, which for a :data:`FEW` tasks costs no more than to take the graph apart.
    Where a layer is cheaper by its rows than by its samples, these are cheapest task by task, each while it is in the caches.
    """
    if len(roots) <= FEW and not forced:
        return None
    found = _planned(roots, wanted, list(dict.fromkeys((*shared, *wanted))), forced)
    return found[0] if found is not None and (found[1] > 0 or (forced and found[0].layers)) else None


def _planned(
    roots: Sequence[Root | None], wanted: Sequence[nn.Parameter], shared: Sequence[nn.Parameter], forced: bool
) -> tuple[Plan, int] | None:
    """A plan, and how many multiplications it saves; None where heads and trunk cannot be told apart, or must be passed as they are."""
    kinds = {(p.dtype, p.device) for p in wanted}
    if len(kinds) > 1 or wanted[0].dtype not in (torch.float32, torch.float64) or any(root is None for root in roots):
        return None
    anatomy = graph.anatomy(roots, shared)
    if anatomy is None or anatomy.opaque or any(map(graph.hooked, (*shared, *anatomy.heads))):
        return None  # a checkpoint, and hooks on parameters, want a plain backward pass
    uses = Counter([crossing.target for crossing in anatomy.crossings])
    if not all(anatomy.trunk[target] for target in uses):
        return None  # a head uses a shared parameter itself
    uses.update([child for children in anatomy.trunk.values() for child, _ in children if child is not None])
    index = {id(parameter): i for i, parameter in enumerate(wanted)}
    where = {node: index.get(id(graph.variable(node))) for node, below in anatomy.trunk.items() if not below}

    def once(node: Node | None) -> int | None:
        """Index of the wanted parameter that a node accumulates, if it is used in one place only."""
        return None if node is None or uses[node] != 1 else where.get(node)

    layers, saved = [], 0
    for node, children in anatomy.trunk.items():
        match node.name() if children else "":
            case "AddmmBackward0" | "MmBackward0":
                found = _linear(node, children, uses, once, wanted)
            case "ConvolutionBackward0":
                found = _convolution(node, children, once, wanted)
            case _:
                continue
        if found is None:
            continue
        layer, samples = found
        kind, fewer = choose(len(roots), samples, wanted[layer.weight].numel() // layer.width, layer.width)
        if kind == "rows" and not forced:
            if layer.convolution:
                continue  # a convolution's own kernels beat products of patches
            layer = replace(layer, kind=kind)
        saved += fewer
        layers.append(replace(layer, inputs=_patches(layer)) if layer.convolution else layer)
    others = {i for i in where.values() if i is not None}.difference(i for layer in layers for i in (layer.weight, layer.bias))
    chained = not others and not any(layer.convolution for layer in layers)
    links = chain.links(anatomy, uses, [layer.node for layer in layers]) if chained else None
    return Plan(anatomy, tuple(layers), tuple(sorted(others)), links), saved


def _linear(node: Any, children: Children, uses: Counter[Node], once: Once, wanted: Sequence[nn.Parameter]) -> tuple[Layer, int] | None:
    """``nn.Linear``: addmm(bias, x, Wᵀ), or mm(x, Wᵀ) without a bias."""
    *before, (_, _), (transposed, _) = children
    if transposed is None or transposed.name() != "TBackward0" or uses[transposed] != 1:
        return None
    if before and not node._saved_alpha == node._saved_beta == 1:
        return None
    weight = once(transposed.next_functions[0][0])
    if weight is None:
        return None
    inputs = node._saved_mat1 if before else node._saved_self
    width = len(wanted[weight])
    bias = once(before[0][0]) if before else None
    if bias is not None and wanted[bias].shape != (width,):
        bias = None
    return Layer(node, inputs.detach(), width, weight, bias, False, "samples"), len(inputs)


def _convolution(node: Any, children: Children, once: Once, wanted: Sequence[nn.Parameter]) -> tuple[Layer, int] | None:
    """``nn.Conv2d`` without groups."""
    weight, bias = once(children[1][0]), once(children[2][0])
    if weight is None or wanted[weight].dim() != 4 or node._saved_groups != 1 or node._saved_transposed:
        return None
    inputs = node._saved_input.detach()
    positions = 1
    for size, kernel, step, pad, spread in zip(
        inputs.shape[2:], wanted[weight].shape[2:], node._saved_stride, node._saved_padding, node._saved_dilation, strict=True
    ):
        positions *= (size + 2 * pad - spread * (kernel - 1) - 1) // step + 1
    return Layer(node, inputs, len(wanted[weight]), weight, bias, True, "samples"), len(inputs) * positions


def _patches(layer: Layer) -> Tensor:
    """Of the inputs of a convolution, x ``[n, d]``."""
    node: Any = layer.node
    kernel = node._saved_weight.shape[2:]
    patches = nn.functional.unfold(layer.inputs, kernel, node._saved_dilation, node._saved_padding, node._saved_stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])
