"""Task gradients as the rows of J, taken the cheapest way that leaves every other ``.grad`` right.

T sequential backward passes fill one preallocated row-major buffer. Parameters of different dtype or device get a buffer each, so J is a
list of blocks that stand side by side; the Gramian is the sum of the blocks' Gramians. Half-precision gradients are kept in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from methods.graph import Root


class Rows:
    """The buffer: for each (device, dtype) a block ``[T, P_block]`` whose columns are the given tensors, in order.

    The elements of a tensor stand in the order of its memory, so that what comes back has its strides: fused optimizers pair the
    elements of a channels-last weight and of its gradient by their addresses.
    """

    def __init__(self, tensors: Sequence[Tensor], num_rows: int) -> None:
        self.key = layout(tensors, num_rows)
        self.num_rows = num_rows
        self.blocks: list[Tensor] = []
        self.members: list[list[int]] = []
        self.views: list[list[list[Tensor]]] = []  # [block][row][member]
        self.strides = [torch.empty_like(tensor, device="meta").stride() for tensor in tensors]
        groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for index, tensor in enumerate(tensors):
            dtype = torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype
            groups.setdefault((tensor.device, dtype), []).append(index)
        for (device, dtype), members in groups.items():
            sizes = [tensors[i].numel() for i in members]
            block = torch.zeros(num_rows, sum(sizes), device=device, dtype=dtype)
            self.blocks.append(block)
            self.members.append(members)
            self.views.append(
                [
                    [v.as_strided(tensors[i].shape, self.strides[i]) for i, v in zip(members, torch.split(row, sizes), strict=True)]
                    for row in block
                ]
            )

    def fill(self, row: int, gradients: Sequence[Tensor | None]) -> None:
        """Writes one row; a tensor that the loss does not reach counts as zeros."""
        for members, views in zip(self.members, self.views, strict=True):
            targets, sources = [], []
            for index, view in zip(members, views[row], strict=True):
                gradient = gradients[index]
                if gradient is None:
                    view.zero_()
                else:
                    targets.append(view)
                    sources.append(gradient.to_dense() if gradient.is_sparse else gradient)
            if targets:
                torch._foreach_copy_(targets, sources)

    def clear(self, row: int) -> None:
        for block in self.blocks:
            block[row].zero_()

    def gramian(self, other: Rows | None = None) -> Tensor:
        """J Jᵀ ``[T, T]``, in float32 at least and in the widest dtype of the gradients, whatever the user's matmul precision is.

        With ``other``, the rows of another batch, J Jᵒᵀ.
        """
        with exact_matmul():
            total, *others = [products(a, b) for a, b in zip(self.blocks, (other or self).blocks, strict=True)]
        for part in others:
            total = total + part.to(total.device)
        return total

    def norms(self) -> Tensor:
        """Lengths ``[T]`` of the rows, without J Jᵀ."""
        first: Tensor
        first, *others = [torch.linalg.vector_norm(block, dim=1) for block in self.blocks]
        if not others:
            return first
        return torch.stack([first.double(), *(part.to(first.device, torch.float64) for part in others)]).square().sum(0).sqrt()

    def add(self, other: Rows) -> None:
        """Adds another batch's rows in place."""
        torch._foreach_add_(self.blocks, other.blocks)

    def matrix(self) -> Tensor:
        """J ``[T, P]`` as one tensor, columns in the order of the given tensors within each block."""
        if len(self.blocks) == 1:
            return self.blocks[0]
        dtype, device = max((b.dtype for b in self.blocks), key=lambda d: torch.finfo(d).bits), self.blocks[0].device
        return torch.cat([block.to(device, dtype) for block in self.blocks], dim=1)

    def combine(self, weights: Tensor) -> list[Tensor]:
        """wᵀJ, one flat tensor a block."""
        with exact_matmul():
            return [torch.mv(block.T, weights.to(block, non_blocking=True)) for block in self.blocks]

    def split(self, direction: Tensor) -> list[Tensor]:
        """A direction ``[P]`` cut into the blocks."""
        parts = torch.split(direction, [block.shape[1] for block in self.blocks])
        return [part.to(block) for part, block in zip(parts, self.blocks, strict=True)]

    def pieces(self, flat: Sequence[Tensor], like: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """(index, piece in that tensor's shape, strides and dtype) for every tensor, from one flat tensor a block."""
        for members, part in zip(self.members, flat, strict=True):
            for index, piece in zip(members, torch.split(part, [like[i].numel() for i in members]), strict=True):
                yield index, piece.to(like[index].dtype).as_strided(like[index].shape, self.strides[index])


class Taker(Protocol):
    """What takes the gradients of T losses, one after the other; None is a gradient of zeros."""

    def fill(self, row: int, gradients: Sequence[Tensor | None]) -> None: ...

    def clear(self, row: int) -> None: ...


COLUMNS = 8192
"""A float32 product sums so many numbers at once, or nearly twice as many: a million at once lose three digits (measured: 1,000 eps)."""


def products(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ ``[T, S]`` of long rows ``[T, P]`` and ``[S, P]``: products of pieces, added up in float64, at the cost of one product."""
    pieces = a.shape[1] // COLUMNS
    if pieces < 2:
        return a @ b.T
    cut = a.shape[1] if a.shape[1] % pieces == 0 else pieces * COLUMNS  # a rest is a product more
    first, second = (rows[:, :cut].view(len(rows), pieces, -1) for rows in (a, b))
    total: Tensor = torch.bmm(first.transpose(0, 1), second.permute(1, 2, 0)).sum(0, dtype=torch.float64)
    if cut < a.shape[1]:
        total += a[:, cut:] @ b[:, cut:].T
    return total.to(a.dtype)


def layout(tensors: Sequence[Tensor], num_rows: int) -> tuple[object, ...]:
    """What a buffer must match to be used again."""
    return (num_rows, *((t.shape, t.stride(), t.dtype, t.device) for t in tensors))


def backward_rows(
    roots: Sequence[Root | None], seeds: Sequence[float], shared: Sequence[nn.Parameter], rows: Taker, unseeded: float = 0.0
) -> list[bool]:
    """Row t becomes seed_t · ∇_shared L_t; every other leaf accumulates seed_t · ∇L_t in its ``.grad``, as a plain backward would.

    A loss with seed 0 leaves every ``.grad`` alone and gives the row unseeded · ∇_shared L_t; one that needs no gradient gives zeros.
    ``shared`` keeps the ``.grad`` that it came with. Returns which shared parameters any loss reaches.
    """
    used = [t for t, root in enumerate(roots) if root is not None and (seeds[t] or unseeded)]
    last = used[-1] if used else -1
    kept = [parameter.grad for parameter in shared]
    reached = [False] * len(shared)
    try:
        for t, root in enumerate(roots):
            if root is None or t not in used:
                rows.clear(t)
                continue
            seed, retain = root.seed(seeds[t] or unseeded), t != last
            gradients: Sequence[Tensor | None]
            if seeds[t]:
                for parameter in shared:
                    parameter.grad = None  # so that autograd hands its own tensor over instead of adding to an old one
                torch.autograd.backward(root.start, seed, retain_graph=retain)
                gradients = [parameter.grad for parameter in shared]
            else:
                gradients = torch.autograd.grad([root.start], shared, seed, retain_graph=retain, allow_unused=True)
            rows.fill(t, gradients)
            reached = [r or g is not None for r, g in zip(reached, gradients, strict=True)]
    finally:
        for parameter, gradient in zip(shared, kept, strict=True):
            parameter.grad = gradient
    return reached


def gradient_rows(roots: Sequence[Root | None], tensors: Sequence[Tensor], rows: Taker, seed: float = 1.0) -> None:
    """Row t becomes seed · ∇L_t with respect to the tensors; no ``.grad`` is touched and the graph stays usable."""
    for t, root in enumerate(roots):
        if root is None:
            rows.clear(t)
        else:
            rows.fill(t, torch.autograd.grad([root.start], tensors, root.seed(seed), retain_graph=True, allow_unused=True))


def representation_rows(roots: Sequence[Root | None], seeds: Sequence[float], representation: Tensor, rows: Rows, unseeded: float) -> None:
    """Row t becomes seed_t · ∂L_t/∂z, flattened over the batch; what the losses reach past z accumulates seed_t · ∇L_t in its ``.grad``.

    A loss with seed 0 leaves every ``.grad`` alone and gives the row unseeded · ∂L_t/∂z.
    """
    node, output = representation.grad_fn, representation.output_nr

    def stop(gradients: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A parameter that both the trunk and a head use gets here what comes past z only; what comes through z is still to follow."""
        return tuple(torch.zeros_like(g) if i == output and g is not None else g for i, g in enumerate(gradients))

    handle = node.register_prehook(stop) if node is not None else None
    try:
        for t, root in enumerate(roots):
            if root is None:
                rows.clear(t)
                continue
            heads = leaves([root], representation) if seeds[t] else []
            seed = root.seed(seeds[t] or unseeded)
            dz, *gradients = torch.autograd.grad([root.start], [representation, *heads], seed, retain_graph=True, allow_unused=True)
            rows.fill(t, [dz])
            accumulate_all(heads, gradients)
    finally:
        if handle is not None:
            handle.remove()


def leaves(roots: Sequence[Root], stop: Tensor | None = None) -> list[Tensor]:
    """The leaf tensors that some loss depends on by a path that does not pass through ``stop``; of equal graphs in equal order."""
    found: list[Tensor] = []
    seen = set()
    todo: list[tuple[Any, int]] = [(root.edge.node, root.edge.output_nr) for root in roots]
    while todo:
        node, output = todo.pop()
        if node is None or node in seen or (stop is not None and node is stop.grad_fn and output == stop.output_nr):
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)  # only AccumulateGrad nodes have one
        if variable is not None and variable is not stop:
            found.append(variable)
        todo.extend(node.next_functions)
    return found


def accumulate_all(leaves: Sequence[Tensor], gradients: Sequence[Tensor | None], factors: Sequence[float] | None = None) -> None:
    """Adds what autograd handed out, times its factor, to the ``.grad`` of its leaves; None adds nothing.

    A first gradient is copied into the layout of its leaf, as autograd may hand out one tensor twice, or an expanded one.
    """
    fresh, sources, scales = [], [], []
    for leaf, gradient, factor in zip(leaves, gradients, factors or [1.0] * len(leaves), strict=True):
        if gradient is None:
            continue
        if leaf.grad is None and not gradient.is_sparse:
            leaf.grad = torch.empty_like(leaf, requires_grad=False)
            fresh.append(leaf.grad)
            sources.append(gradient)
            scales.append(factor)
        else:
            accumulate(leaf, gradient * factor if factor != 1.0 or gradient.is_sparse else gradient)
    if fresh:
        torch._foreach_copy_(fresh, sources)
        if factors:
            torch._foreach_mul_(fresh, scales)


def deposit(parameters: Sequence[Tensor], pieces: Iterator[tuple[int, Tensor]], reached: Sequence[bool]) -> None:
    """Adds each piece to its parameter's ``.grad``; a parameter that no loss reaches is left alone."""
    for index, piece in pieces:
        if reached[index]:
            accumulate(parameters[index], piece)


def accumulate(parameter: Tensor, piece: Tensor) -> None:
    """Adds to ``.grad`` as a backward pass does: in place where there is a dense gradient already."""
    old = parameter.grad
    if old is None:
        parameter.grad = piece
    elif old.is_sparse:
        parameter.grad = piece + old
    else:
        old.add_(piece)


@contextmanager
def exact_matmul() -> Iterator[None]:
    """Full float32 products: the Gramian's small eigenvalues drown in the 10-bit mantissa of TF32 or bfloat16."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # the user set it by backend (torch 2.9), which that function refuses to sum up
        with _exact_backends():
            yield
        return
    if precision == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _exact_backends() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def plain_mode(device: torch.device) -> AbstractContextManager[object]:
    """Gradients and weights are computed as they are, also when ``backward`` is called inside an autocast or a no_grad region."""
    if torch.is_grad_enabled() and not torch.is_autocast_enabled(device.type):
        return nullcontext()
    stack = ExitStack()
    stack.enter_context(torch.autocast(device.type, enabled=False))
    stack.enter_context(torch.enable_grad())
    return stack
