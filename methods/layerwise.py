"""The gradients of one step, layer by layer as :mod:`methods.layers` has planned it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from methods import chain, graph, jacobian
from methods.errors import MethodError
from methods.graph import Root
from methods.layers import Layer, Plan

ROWS_AT_ONCE = 512
"""Tasks go through the trunk together while they have no more rows than this: larger products gain nothing and fall out of the caches."""
SEEN_AT_ONCE = 80 * 1024
"""Elements of the products of samples and signals that are taken at once, and are still in the caches when they meet the signals."""
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


class Scratch:
    """Memory that is kept from step to step: fresh memory costs more than the products that are written to it."""

    def __init__(self) -> None:
        self.kept: dict[object, Tensor] = {}
        self.rows: jacobian.Rows | None = None

    def get(self, key: object, shape: Sequence[int], like: Tensor) -> Tensor:
        size = math.prod(shape)
        kept = self.kept.get(key)
        if kept is None or len(kept) < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            kept = self.kept[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(*shape)

    def rows_of(self, tensors: Sequence[Tensor], num_rows: int) -> jacobian.Rows:
        """Rows of J, with what was last written to them."""
        if self.rows is None or self.rows.key != jacobian.layout(tensors, num_rows):
            self.rows = jacobian.Rows(tensors, num_rows)
        return self.rows


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

    def add_to(self, gramian: Tensor, bound: Tensor) -> None:
        """Adds the layer's Gramian, and ‖x‖² ‖δ_t‖² ``[T]``, to which its rounding is relative."""
        x, tasks = self.layer.inputs, self.tasks
        products = x @ x.T
        if self.layer.bias is not None:
            products += 1  # the bias is a weight of an input that is always 1
        flat = self.signals.view(tasks, -1)
        several = min(tasks, max(1, SEEN_AT_ONCE // max(1, flat.shape[1])))
        seen = self.scratch.get("seen", (several, *self.signals.shape[1:]), self.signals)
        for first in range(0, tasks, several):  # with what comes after: G is symmetric
            some = self.signals[first : first + several]
            last = first + len(some)
            torch.bmm(products.expand(len(some), -1, -1), some, out=seen[: len(some)])
            upper = jacobian.products(seen[: len(some)].view(len(some), -1), flat[first:])
            gramian[first:last, first:] += upper
            if last < tasks:
                gramian[last:, first:last] += upper[:, len(some) :].T
        bound.addcmul_(torch.linalg.vector_norm(flat, dim=1).square_(), products.trace())

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

    def add_to(self, gramian: Tensor, bound: Tensor) -> None:
        flat = self.rows.view(len(self.rows), -1)
        gramian += jacobian.products(flat, flat)
        if self.layer.bias is not None:
            gramian.addmm_(self.biases, self.biases.T)

    def combine(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        flat = torch.mv(self.rows.view(len(weights), -1).T, weights)
        return flat.view(self.rows.shape[1:]), torch.mv(self.biases.T, weights)


class Layerwise:
    """The gradients of one step on the parameters that the plan is for."""

    def __init__(self, plan: Plan, wanted: Sequence[nn.Parameter], tasks: int, scratch: Scratch) -> None:
        self.plan, self.wanted, self.tasks, self.scratch = plan, wanted, tasks, scratch
        self.parts: list[BySamples | ByRows] = [
            (BySamples if layer.kind == "samples" else ByRows)(layer, tasks, scratch) for layer in plan.layers
        ]
        self.others = [wanted[i] for i in plan.others]
        self.rows = scratch.rows_of(self.others, tasks) if self.others else None
        self.like = self.parts[0].layer.inputs if self.parts else self.others[0].detach()

    def backward(self, roots: Sequence[Root], seeds: Sequence[float], followed: bool = False) -> None:
        """One pass of seed_t L_t through the heads, and the T passes from there down to the layers. No ``.grad`` is touched.

        :meth:`deposit_heads`, or :meth:`follow` if it is ``followed``, is to come after it.

        Raises:
            MethodError: something in the trunk cannot pass several gradients at once.
        """
        self.sent, self.of_heads = self._heads(roots, seeds)
        if self.plan.links is None:
            self._batched(self.sent, followed)
        else:
            self._descend(self.plan.links, self.sent)

    def deposit_heads(self, factors: Sequence[float] | None = None) -> None:
        """The leaves of the heads accumulate seed_t · ∇L_t in their ``.grad``, times the factor of their task."""
        owners = self.plan.anatomy.owners
        jacobian.accumulate_all(self.plan.anatomy.heads, self.of_heads, factors and [factors[task] for task in owners])

    def follow(self, factors: Sequence[float]) -> None:
        """All leaves, heads and trunk, accumulate Σ factor_t seed_t ∇L_t, by one more pass through the trunk, for what is not held."""
        self.deposit_heads(factors)
        targets: dict[tuple[Node, int], Tensor] = {}
        for factor, of_task in zip(factors, self.sent, strict=True):
            for target, signal in of_task.items():
                if target in targets:
                    targets[target].add_(signal, alpha=factor)
                else:
                    targets[target] = signal * factor
        held = {id(parameter) for parameter in self.wanted}
        below = [leaf for node in self.plan.anatomy.trunk if (leaf := graph.variable(node)) is not None and id(leaf) not in held]
        if targets and below:
            edges: list[Any] = [GradientEdge(*target) for target in targets]
            torch.autograd.backward(edges, list(targets.values()), inputs=below)
        for index, piece in self.combine(torch.tensor(factors, dtype=torch.float64)):
            jacobian.accumulate(self.wanted[index], piece)

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

    def _batched(self, sent: Sequence[dict[tuple[Node, int], Tensor]], retain: bool) -> None:
        """The passes through any other trunk, by autograd."""
        targets = list(dict.fromkeys(target for task in sent for target in task))
        blank = {target: next(task[target] for task in sent if target in task).new_zeros(()) for target in targets}
        sizes = {target: next(task[target] for task in sent if target in task).shape for target in targets}
        at_once = 1 if retain else self._at_once()  # the few functions above one layer are not worth what batching them costs
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
                    retain_graph=retain or last < self.tasks,
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
        return max(1, ROWS_AT_ONCE // max((len(layer.inputs) for layer in self.plan.layers), default=ROWS_AT_ONCE))

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
        like = self.like
        gramian, bound = like.new_zeros(self.tasks, self.tasks), like.new_zeros(self.tasks)
        with jacobian.exact_matmul():
            for part in self.parts:
                part.add_to(gramian, bound)
        if self.rows is not None:
            gramian += self.rows.gramian()
        return gramian, bound

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
            weights = weights.to(self.like, non_blocking=True)
            for part in self.parts:
                weight, bias = part.combine(weights)
                yield part.layer.weight, self._shaped(weight, part.layer.weight)
                if part.layer.bias is not None:
                    yield part.layer.bias, self._shaped(bias, part.layer.bias)
        if self.rows is not None:
            for i, piece in self.rows.pieces(self.rows.combine(weights), self.others):
                yield self.plan.others[i], piece

    def _shaped(self, gradient: Tensor, index: int) -> Tensor:
        parameter = self.wanted[index]
        gradient = gradient.view(parameter.shape)
        return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
