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
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from methods import chain, graph, jacobian
from methods.errors import MethodError
from methods.graph import Anatomy, Children, Root

Kind = Literal["samples", "rows"]
Once = Callable[[Node | None], int | None]

WORTH = 1e7
"""Multiplications that a step must save before it goes layer by layer: what it costs to take the graph apart, in multiplications."""
ROWS_AT_ONCE = 512
"""Tasks go through the trunk together while they have no more rows than this: larger products gain nothing and fall out of the caches."""
CANCELLATION = 1e3
"""Where the samples' gradients cancel so far that ‖x‖² ‖δ_t‖² is this many times ‖δ_tᵀ x‖², rounding of their products would show."""
TOGETHER = frozenset(
    (
        *("AddmmBackward0", "MmBackward0", "TBackward0", "TransposeBackward0", "PermuteBackward0", "ViewBackward0", "UnsafeViewBackward0"),
        *("ReshapeAliasBackward0", "SqueezeBackward0", "UnsqueezeBackward0", "ExpandBackward0", "CloneBackward0", "AddBackward0"),
        *("SubBackward0", "MulBackward0", "DivBackward0", "NegBackward0", "ExpBackward0", "SumBackward0", "MeanBackward0"),
        *("ReluBackward0", "LeakyReluBackward0", "EluBackward0", "GeluBackward0", "SiluBackward0", "SoftplusBackward0", "TanhBackward0"),
        *("SigmoidBackward0", "HardtanhBackward0", "ThresholdBackward0", "NativeLayerNormBackward0"),
    )
)
"""Nodes that pass several gradients at once faster than one after the other. A trunk with any other kind is passed task by task."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear or convolutional layer of the trunk.

    Attributes:
        node: the outputs come from it.
        inputs: x ``[n, d]``, a row for each sample and position.
        width: k, the number of outputs of each row.
        weight, bias: their indices among the shared parameters; None without a bias that is trained.
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
        others: the indices of all other shared parameters in the graph.
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
    kinds = {(p.dtype, p.device) for p in shared}
    if len(kinds) > 1 or shared[0].dtype not in (torch.float32, torch.float64) or any(root is None for root in roots):
        return None
    anatomy = graph.anatomy(roots, shared)
    if anatomy is None or anatomy.opaque or any(map(_hooked, (*shared, *anatomy.heads))):
        return None  # a checkpoint, and hooks on parameters, want a plain backward pass
    if any(not anatomy.trunk[crossing.target] for crossing in anatomy.crossings):
        return None  # a head uses a shared parameter itself
    index = {id(parameter): i for i, parameter in enumerate(shared)}
    uses = Counter(crossing.target for crossing in anatomy.crossings)
    uses.update(child for children in anatomy.trunk.values() for child, _ in children if child is not None)

    def once(node: Node | None) -> int | None:
        """Index of the shared parameter that a node accumulates, if it is used in one place only."""
        variable = None if node is None or uses[node] != 1 else graph.variable(node)
        return None if variable is None else index[id(variable)]

    layers, saved = [], 0
    for node, children in anatomy.trunk.items():
        match node.name() if children else "":
            case "AddmmBackward0" | "MmBackward0":
                found = _linear(node, children, uses, once, shared)
            case "ConvolutionBackward0":
                found = _convolution(node, children, once, shared)
            case _:
                continue
        if found is None:
            continue
        layer, samples = found
        kind, fewer = choose(len(roots), samples, shared[layer.weight][0].numel(), layer.width)
        kind = "samples" if forced else kind
        if layer.convolution and kind == "rows":
            continue  # a convolution's own kernels beat products of patches
        saved += fewer
        layers.append(replace(layer, inputs=_inputs(layer), kind=kind))
    if not layers or (saved < WORTH and not forced):
        return None
    taken = {i for layer in layers for i in (layer.weight, layer.bias)}
    others = {index[id(leaf)] for node, below in anatomy.trunk.items() if not below and (leaf := graph.variable(node)) is not None} - taken
    links = None if others else chain.links(anatomy, [layer.node for layer in layers if not layer.convolution])
    return Plan(anatomy, tuple(layers), tuple(sorted(others)), links)


def _hooked(parameter: Tensor) -> bool:
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


def _linear(node: Any, children: Children, uses: Counter[Node], once: Once, shared: Sequence[nn.Parameter]) -> tuple[Layer, int] | None:
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
    width = len(shared[weight])
    bias = once(before[0][0]) if before else None
    if bias is not None and shared[bias].shape != (width,):
        bias = None
    return Layer(node, inputs.detach(), width, weight, bias, False, "rows"), len(inputs)


def _convolution(node: Any, children: Children, once: Once, shared: Sequence[nn.Parameter]) -> tuple[Layer, int] | None:
    """``nn.Conv2d`` without groups."""
    weight, bias = once(children[1][0]), once(children[2][0])
    if weight is None or shared[weight].dim() != 4 or node._saved_groups != 1 or node._saved_transposed:
        return None
    inputs = node._saved_input.detach()
    positions = 1
    for size, kernel, step, pad, spread in zip(
        inputs.shape[2:], shared[weight].shape[2:], node._saved_stride, node._saved_padding, node._saved_dilation, strict=True
    ):
        positions *= (size + 2 * pad - spread * (kernel - 1) - 1) // step + 1
    return Layer(node, inputs, len(shared[weight]), weight, bias, True, "rows"), len(inputs) * positions


def _inputs(layer: Layer) -> Tensor:
    """x ``[n, d]``: of a convolution, the patches."""
    if not layer.convolution:
        return layer.inputs
    node: Any = layer.node
    kernel = node._saved_weight.shape[2:]
    patches = nn.functional.unfold(layer.inputs, kernel, node._saved_dilation, node._saved_padding, node._saved_stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


class Scratch:
    """Memory that is kept from step to step: fresh memory costs more than the products that are written to it."""

    def __init__(self) -> None:
        self.kept: dict[object, Tensor] = {}

    def get(self, key: object, shape: Sequence[int], like: Tensor) -> Tensor:
        size = math.prod(shape)
        kept = self.kept.get(key)
        if kept is None or len(kept) < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            kept = self.kept[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(*shape)


def memory(layer: Layer, tasks: int, scratch: Scratch) -> Tensor:
    """For δ ``[T, n, k]``."""
    return scratch.get(("signals", layer.weight), (tasks, len(layer.inputs), layer.width), layer.inputs)


class BySamples:
    """A layer's T weight gradients, held as δ ``[T, n, k]`` and x."""

    def __init__(self, layer: Layer, tasks: int, scratch: Scratch) -> None:
        self.layer, self.tasks, self.scratch = layer, tasks, scratch
        self.signals = layer.inputs  # until keep() brings δ

    def keep(self, tasks: slice, signals: Tensor) -> None:
        if len(signals) == self.tasks:
            self.signals = signals.contiguous()
        else:
            self.signals = memory(self.layer, self.tasks, self.scratch)
            self.signals[tasks] = signals

    def add_to(self, gramian: Tensor) -> tuple[Tensor, Tensor] | None:
        """Adds the layer's Gramian; returns ‖δ_t‖ ``[T]`` and ‖x‖² ``[]``, to which its rounding is relative."""
        x, tasks = self.layer.inputs, self.tasks
        products = x @ x.T
        if self.layer.bias is not None:
            products += 1  # the bias is a weight of an input that is always 1
        seen = self.scratch.get("seen", self.signals.shape, self.signals)
        torch.bmm(products.expand(tasks, -1, -1), self.signals, out=seen)
        flat = self.signals.view(tasks, -1)
        gramian += jacobian.products(seen.view(tasks, -1), flat)
        return torch.linalg.vector_norm(flat, dim=1), products.trace()

    def combine(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Σ w_t times the gradients of weight ``[k, d]`` and bias ``[k]``."""
        signal = torch.mv(self.signals.view(len(weights), -1).T, weights).view(-1, self.layer.width)
        return signal.T @ self.layer.inputs, signal.sum(0)


class ByRows:
    """A layer's T weight gradients, held as such."""

    def __init__(self, layer: Layer, tasks: int, scratch: Scratch) -> None:
        self.layer = layer
        self.rows = scratch.get(("rows", layer.weight), (tasks, layer.width, layer.inputs.shape[1]), layer.inputs)
        self.biases = scratch.get(("biases", layer.weight), (tasks, layer.width), layer.inputs)

    def keep(self, tasks: slice, signals: Tensor) -> None:
        torch.bmm(signals.transpose(1, 2), self.layer.inputs.expand(len(signals), -1, -1), out=self.rows[tasks])
        torch.sum(signals, 1, out=self.biases[tasks])

    def add_to(self, gramian: Tensor) -> tuple[Tensor, Tensor] | None:
        flat = self.rows.view(len(self.rows), -1)
        gramian += jacobian.products(flat, flat)
        if self.layer.bias is not None:
            gramian.addmm_(self.biases, self.biases.T)
        return None

    def combine(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        flat = torch.mv(self.rows.view(len(weights), -1).T, weights)
        return flat.view(self.rows.shape[1:]), torch.mv(self.biases.T, weights)


class Layerwise:
    """The gradients of one step on the shared parameters."""

    def __init__(self, plan: Plan, shared: Sequence[nn.Parameter], tasks: int, scratch: Scratch) -> None:
        self.plan, self.shared, self.tasks, self.scratch = plan, shared, tasks, scratch
        self.parts: list[BySamples | ByRows] = [
            (BySamples if layer.kind == "samples" else ByRows)(layer, tasks, scratch) for layer in plan.layers
        ]
        self.others = [shared[i] for i in plan.others]
        self.rows = jacobian.Rows(self.others, tasks) if self.others else None

    def backward(self, roots: Sequence[Root], seeds: Sequence[float]) -> None:
        """One pass through the heads, whose leaves accumulate seed_t · ∇L_t in their ``.grad``, and the T passes through the trunk.

        Raises:
            MethodError: something in the trunk cannot pass several gradients at once; no ``.grad`` was touched.
        """
        sent, gradients_of_heads = self._heads(roots, seeds)
        if self.plan.links is None:
            self._batched(sent)
        else:
            self._descend(self.plan.links, sent)
        jacobian.accumulate_all(self.plan.anatomy.heads, gradients_of_heads)

    def _descend(self, links: Sequence[chain.Link], sent: Sequence[dict[tuple[Node, int], Tensor]]) -> None:
        """The passes through a trunk that is a chain, all at once: their gradients are kept in any case."""
        by_node = {part.layer.node: part for part in self.parts}
        parts = [by_node[link.node] for link in links]
        kept = [memory(part.layer, self.tasks, self.scratch) for part in parts]
        nothing = kept[0].new_zeros(()).expand(kept[0].shape[1:])
        torch.stack([next(iter(task.values()), nothing) for task in sent], out=kept[0])
        chain.descend(links, kept)
        for part, signals in zip(parts, kept, strict=True):
            part.keep(slice(None), signals)

    def _batched(self, sent: Sequence[dict[tuple[Node, int], Tensor]]) -> None:
        """The passes through any other trunk, by autograd."""
        targets = list(dict.fromkeys(target for task in sent for target in task))
        blank = {target: next(task[target] for task in sent if target in task).new_zeros(()) for target in targets}
        sizes = {target: next(task[target] for task in sent if target in task).shape for target in targets}
        at_once = self._at_once()
        inputs: list[Any] = [*(GradientEdge(layer.node, 0) for layer in self.plan.layers), *self.others]
        for first in range(0, self.tasks, at_once):
            last = min(first + at_once, self.tasks)
            given = [[task.get(t, blank[t].expand(sizes[t])) for task in sent[first:last]] for t in targets]
            batched = last - first > 1
            try:
                gradients = torch.autograd.grad(
                    [GradientEdge(*target) for target in targets],
                    inputs,
                    [torch.stack(each) if batched else each[0] for each in given],
                    retain_graph=last < self.tasks,
                    allow_unused=True,
                    is_grads_batched=batched,
                )
            except RuntimeError as error:
                if not batched or isinstance(error, torch.OutOfMemoryError):
                    raise
                why = str(error).split("\n")[0]
                raise MethodError(f"the trunk cannot pass several gradients at once ({why}): methods.create(..., path='rows')") from error
            self._keep(first, last, [g if g is None or batched else g.unsqueeze(0) for g in gradients])

    def _heads(self, roots: Sequence[Root], seeds: Sequence[float]) -> tuple[list[dict[tuple[Node, int], Tensor]], Sequence[Tensor | None]]:
        """What each task sends to each output of the trunk that its head reads, and the gradients of the heads' leaves."""
        anatomy = self.plan.anatomy
        edges: list[Any] = list(dict.fromkeys(GradientEdge(crossing.target, crossing.number) for crossing in anatomy.crossings))
        factors = [root.seed(seed) for root, seed in zip(roots, seeds, strict=True)]
        nested = len(edges) > 1  # then one may lie below another, and autograd walks, and would free, what is between them
        with graph.captured(anatomy.crossings) as found:
            gradients = torch.autograd.grad(
                [root.start for root in roots], [*edges, *anatomy.heads], factors, retain_graph=nested, allow_unused=True
            )
        return [found.get(task, {}) for task in range(self.tasks)], gradients[len(edges) :]

    def _at_once(self) -> int:
        """How many tasks go through the trunk together."""
        if not all(node.name() in TOGETHER for node, children in self.plan.anatomy.trunk.items() if children):
            return 1
        return max(1, ROWS_AT_ONCE // max(len(layer.inputs) for layer in self.plan.layers))

    def _keep(self, first: int, last: int, gradients: Sequence[Tensor | None]) -> None:
        for part, gradient in zip(self.parts, gradients, strict=False):
            layer = part.layer
            signals = layer.inputs.new_zeros(last - first, len(layer.inputs), layer.width) if gradient is None else layer.signals(gradient)
            part.keep(slice(first, last), signals)
        if self.rows is not None:
            for task in range(first, last):
                self.rows.fill(task, [g if g is None else g[task - first] for g in gradients[len(self.parts) :]])

    def gramian(self) -> tuple[Tensor, Tensor]:
        """G ``[T, T]``, and for each task what the rounding of its G_tt is relative to, beside G_tt itself, ``[T]``."""
        like = self.parts[0].layer.inputs
        gramian = like.new_zeros(self.tasks, self.tasks)
        with jacobian.exact_matmul():
            sizes = [size for part in self.parts if (size := part.add_to(gramian)) is not None]
        if self.rows is not None:
            gramian += self.rows.gramian()
        if not sizes:
            return gramian, like.new_zeros(self.tasks)
        norms, squares = map(torch.stack, zip(*sizes, strict=True))
        return gramian, squares @ norms.square_()

    def by_rows(self) -> None:
        """Turns every layer to rows of its own: exact also where the gradients of the samples cancel."""
        for i, part in enumerate(self.parts):
            if isinstance(part, BySamples):
                self.parts[i] = ByRows(part.layer, self.tasks, self.scratch)
                with jacobian.exact_matmul():
                    self.parts[i].keep(slice(None), part.signals)

    def combine(self, weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(index, Σ w_t g_t) for every shared parameter that a loss reaches, in its shape and strides."""
        with jacobian.exact_matmul():
            weights = weights.to(self.parts[0].layer.inputs, non_blocking=True)
            for part in self.parts:
                weight, bias = part.combine(weights)
                yield part.layer.weight, self._shaped(weight, part.layer.weight)
                if part.layer.bias is not None:
                    yield part.layer.bias, self._shaped(bias, part.layer.bias)
        if self.rows is not None:
            for i, piece in self.rows.pieces(self.rows.combine(weights), self.others):
                yield self.plan.others[i], piece

    def _shaped(self, gradient: Tensor, index: int) -> Tensor:
        parameter = self.shared[index]
        gradient = gradient.view(parameter.shape)
        return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
