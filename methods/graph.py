"""The autograd graph of T losses: what each has to itself (its head), what they share (the trunk), and where heads meet the trunk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge


@dataclass(frozen=True, slots=True)
class Root:
    """Where the backward pass of a loss starts: at the loss, or at the part of a stacked tensor of losses that it is."""

    loss: Tensor
    start: Any
    """A tensor or a GradientEdge: autograd takes a list of both, its type stubs do not."""

    @property
    def edge(self) -> GradientEdge:
        return self.start if isinstance(self.start, GradientEdge) else get_gradient_edge(self.start)

    @property
    def node(self) -> Node:
        node: Node | None = getattr(self.start, "grad_fn", None)  # a fifth of what get_gradient_edge takes
        return self.edge.node if node is None else node

    def seed(self, value: float) -> Tensor:
        return torch.full_like(self.loss, value, requires_grad=False)


def roots_of(losses: Sequence[Tensor], stacked: Tensor | None = None) -> list[Root | None]:
    """Roots of T scalars; None for one that needs no gradient. ``stacked`` is the tensor that they are the elements of, if they are.

    Raises:
        Unsplit: nothing in the graph of a stacked tensor tells its elements apart.
    """
    if stacked is None or not stacked.requires_grad:
        return [Root(loss, loss) if loss.requires_grad else None for loss in losses]
    # The parts that a tensor [T] was stacked from: a backward pass from a part goes through its own head alone.
    node = stacked.grad_fn
    parts = node.next_functions if node is not None and node.name() in ("StackBackward0", "CatBackward0") else ()
    shapes = [() if part is None else tuple(part._input_metadata[number].shape) for part, number in parts]
    if len(parts) != len(losses) or any(math.prod(shape) != 1 for shape in shapes):
        raise Unsplit
    return [
        None if part is None else Root(loss.detach().reshape(shape), GradientEdge(part, number))
        for loss, (part, number), shape in zip(losses, parts, shapes, strict=True)
    ]


class Unsplit(ValueError):
    """A tensor of losses that was not made by stacking them."""


class Crossing(NamedTuple):
    """An edge from the head of a task to the trunk: input ``position`` of ``node`` is output ``number`` of the trunk's ``target``."""

    task: int
    node: Node
    position: int
    target: Node
    number: int


Children = tuple[tuple[Node | None, int], ...]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The T heads and their trunk.

    Attributes:
        crossings: all edges from a head to the trunk; whatever passes from a loss to a shared parameter passes exactly one of them.
        heads: the leaves of the heads.
        owners: the task that each of these leaves belongs to.
        trunk: the trunk's nodes with what they depend on; a node without children accumulates the gradient of a shared parameter, unless
            it is None. Their order is that of the graph, the same in every run.
        opaque: whether a function written in Python is among the nodes of heads or trunk, which may do anything, as a checkpoint does.
    """

    crossings: tuple[Crossing, ...]
    heads: tuple[Tensor, ...]
    owners: tuple[int, ...]
    trunk: dict[Node, Children]
    opaque: bool


def anatomy(roots: Sequence[Root | None], shared: Iterable[Tensor]) -> Anatomy | None:
    """Takes the graph apart; a root that is None reaches nothing.

    The trunk is what two losses or more depend on, and the shared parameters. None where the parts cannot be told apart so: a loss is
    itself part of another's graph, or a parameter that is not shared is used by several tasks below their heads.
    """
    ours = {id(parameter) for parameter in shared}
    starts = [None if root is None else root.node for root in roots]
    owner: dict[Node, int] = {}
    children: dict[Node, Children] = {}
    leaves: dict[Node, Tensor | None] = {}
    meeting: list[Node] = []  # where a second task, or a shared parameter, is met: from there on it is trunk
    for task, start in enumerate(starts):
        todo = [] if start is None else [start]
        while todo:
            node = todo.pop()
            if owner.setdefault(node, task) != task:
                meeting.append(node)
            elif node not in children:
                children[node] = below = node.next_functions
                for child, _ in below:
                    if child is not None:
                        todo.append(child)
                if not below:
                    leaves[node] = leaf = variable(node)
                    if id(leaf) in ours:
                        meeting.append(node)
    common = set()
    while meeting:
        node = meeting.pop()
        if node not in common:
            common.add(node)
            meeting.extend([child for child, _ in children[node] if child is not None])
    if any(start in common for start in starts):
        return None
    crossings: list[Crossing] = []
    heads: list[Tensor] = []
    owners: list[int] = []
    trunk: dict[Node, Children] = {}
    for node, below in children.items():
        if node in common:
            trunk[node] = below
            if not below and leaves[node] is not None and id(leaves[node]) not in ours:
                return None
        elif below:
            for i, (child, number) in enumerate(below):
                if child in common:
                    crossings.append(Crossing(owner[node], node, i, child, number))
        elif (leaf := leaves[node]) is not None:
            heads.append(leaf)
            owners.append(owner[node])
    opaque = any(issubclass(kind, BackwardCFunction) for kind in set(map(type, children)))
    return Anatomy(tuple(crossings), tuple(heads), tuple(owners), trunk, opaque)


def variable(node: Node) -> Tensor | None:
    """The leaf whose gradient a node accumulates; None for any other node."""
    return getattr(node, "variable", None)


def hooked(parameter: Tensor) -> bool:
    """Whether hooks on a parameter see its gradient."""
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


@contextmanager
def captured(crossings: Sequence[Crossing]) -> Iterator[dict[int, dict[tuple[Node, int], Tensor]]]:
    """What a backward pass inside sends from the head of each task to each output of the trunk: ``found[task][target, number]``."""
    found: dict[int, dict[tuple[Node, int], Tensor]] = {}

    def keep(crossing: Crossing) -> Any:
        target = (crossing.target, crossing.number)

        def hook(inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> None:
            gradient = inputs[crossing.position]
            if gradient is not None:
                mine = found.setdefault(crossing.task, {})
                mine[target] = mine[target] + gradient if target in mine else gradient

        return hook

    with _hooked((crossing.node, keep(crossing)) for crossing in crossings):
        yield found


@contextmanager
def weighted(crossings: Sequence[Crossing], weights: Sequence[float]) -> Iterator[None]:
    """Inside, what a backward pass sends from the head of task t to the trunk is multiplied by weights[t]; heads keep their gradient."""
    by_node: dict[Node, list[Crossing]] = {}
    for crossing in crossings:
        by_node.setdefault(crossing.node, []).append(crossing)

    def hook(here: list[Crossing]) -> Any:
        indices, weight = {crossing.position for crossing in here}, weights[here[0].task]

        def scale(inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
            return tuple(g if g is None or i not in indices else g * weight for i, g in enumerate(inputs))

        return scale

    with _hooked((node, hook(here)) for node, here in by_node.items()):
        yield


@contextmanager
def _hooked(hooks: Iterable[tuple[Node, Any]]) -> Iterator[None]:
    handles = [node.register_hook(hook) for node, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
