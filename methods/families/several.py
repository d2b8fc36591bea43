"""The fourth family: methods that see further batches, drawn independently, or the losses at parameters that a step would lead to.

A :class:`CrossGramianMethod` multiplies the gradients of one batch with those of another, so that noise does not look like signal. A
:class:`BilevelMethod` learns loss weights from what steps with them do to another batch. Both ask for the batches by ``extra_batches`` and
get their losses from the ``evaluate`` of the caller, who also keeps what is not a parameter (BatchNorm's statistics, the random state).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from methods import graph, jacobian
from methods.adam import Adam
from methods.base import Given, Method, Step, parameters_of
from methods.errors import MethodError
from methods.families.gradient import GradientMethod


class _SeveralMethod(Method):
    """What the two kinds share."""

    extra_batches = 1

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """State stays on the host in float64: ``.to()``, ``.cuda()`` and ``.half()`` leave it there."""
        return self

    def _again(self, given: Given, k: int, trained: bool = True) -> list[Tensor]:
        assert given.evaluate is not None  # backward() saw to it
        return given.evaluate(k, trained)

    def _checked(self, weights: Any, batches: int = 1) -> Tensor:
        """What ``weights`` returned, as float64 ``[K, T]``, if it is for up to so many batches."""
        width = self.num_tasks
        shape = tuple(weights.shape) if isinstance(weights, Tensor) and not weights.is_complex() else ()
        if shape[-1:] != (width,) or len(shape) > 2 or not 1 <= math.prod(shape[:-1]) <= batches:
            what = f"shape {tuple(weights.shape)} and {weights.dtype}" if isinstance(weights, Tensor) else f"a {type(weights).__name__}"
            allowed = f"({width},)" if batches == 1 else f"({width},) or (K, {width}) with K up to {batches}"
            raise MethodError(f"{self.card.name}: weights() returned {what}; expected a real tensor of shape {allowed}")
        found: Tensor = weights.detach().to("cpu", torch.float64).reshape(-1, width)
        return found


class CrossGramianMethod(_SeveralMethod, GradientMethod):
    """T weights from A = J₁ J₂ᵀ of two independent batches, the last two. T backward passes a batch; heads get their own plain gradient.

    E[A] is the Gramian of the expected gradients; that of a single batch has the covariance of its noise on top.
    """

    followed: ClassVar[int] = 1
    """How many of the batches, counted from this step's, make the update: their mean gradients are weighted."""

    @abstractmethod
    def weights(self, cross: Tensor, norms: Tensor) -> Tensor:
        """Weights ``[T]`` from A ``[T, T]``, which need be neither symmetric nor positive semidefinite; float64 on the host, all finite.

        ``norms`` ``[T]`` are the root mean squares of the lengths of a task's two gradients: 0 for a task that has none on either batch.
        """

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        shared = self._shared(given.shared)
        unseeded = given.scaler / self.followed
        seeds = self._seeds(unseeded)
        batches = range(1 + self.extra_batches)
        rows = [self._buffer(shared, f"batch {k}") for k in batches]
        values = [torch.empty(0)] * len(batches)
        reached = [False] * len(shared)
        for k in reversed(batches):  # this step's losses last: what goes wrong in another batch then leaves every gradient alone
            batch = self._again(given, k) if k else losses
            roots = graph.roots_of(batch) if k else self._roots(losses, given)
            values[k] = self._values(batch)
            if k < self.followed:
                found = jacobian.backward_rows(roots, seeds, shared, rows[k], unseeded)
                reached = [old or new for old, new in zip(reached, found, strict=True)]
            else:
                jacobian.gradient_rows(roots, shared, rows[k], unseeded)
            self._passed(self.num_tasks)
        scales = [[seed or unseeded for seed in seeds] if k < self.followed else [unseeded] * self.num_tasks for k in batches]
        weights = self._solve(rows, values, torch.tensor(scales, dtype=torch.float64))
        for further in rows[1 : self.followed]:
            rows[0].add(further)
        if self.scale == "grad_norm":
            inverse = torch.tensor(scales[0], dtype=torch.float64).reciprocal() / self.followed
            gramian = rows[0].gramian()
            weights = weights * self._norm_factor(gramian.cpu() * torch.outer(inverse, inverse), weights, torch.finfo(gramian.dtype).eps)
        jacobian.deposit(shared, rows[0].pieces(rows[0].combine(self._combining(weights)), shared), self._reached(reached))
        priority = 1.0 if self.priority is None else torch.tensor(self.priority, dtype=torch.float64)
        return Step(values[0], (weights * priority).to(values[0]))

    def _solve(self, rows: Sequence[jacobian.Rows], values: Sequence[Tensor], scales: Tensor) -> Tensor:
        """Weights ``[T]``, scale included; row t of batch k holds scales[k, t] times its gradient. Not finite in: nan, state untouched."""
        cross = rows[-2].gramian(rows[-1])
        lengths = torch.stack([each.norms() for each in rows])
        host = torch.cat([part.to(cross.device, torch.float64) for part in (cross, lengths, torch.stack([*values]))]).cpu()
        if not bool(torch.isfinite(host).all()):
            return torch.full_like(host[0], math.nan)
        cross, lengths = host[: self.num_tasks] / torch.outer(scales[-2], scales[-1]), host[self.num_tasks :][: len(rows)] / scales
        return self._checked(self.weights(cross, lengths[-2:].square().mean(0).sqrt()))[0] * self._factor()


class Lookahead:
    """What a bilevel method sees of a step: the losses of its batches, where the parameters are and where steps would lead them.

    Attributes:
        parameters: what a virtual step moves: every parameter that the losses reach, trunk and heads.
    """

    def __init__(self, method: BilevelMethod, losses: list[Tensor], given: Given) -> None:
        self._method, self._given, self._here = method, given, {0: losses}
        shared = () if given.shared is None else parameters_of(given.shared)
        ids = {id(parameter) for parameter in shared}
        self.parameters = [
            leaf
            for leaf in jacobian.leaves([root for root in graph.roots_of(losses) if root])
            if isinstance(leaf, nn.Parameter) or id(leaf) in ids
        ]

    def batch(self, k: int) -> list[Tensor]:
        """The losses of batch k at the parameters as they are, with their graph: what the weights will be put on."""
        if k not in self._here:
            self._here[k] = self.evaluate(k)
        return self._here[k]

    def evaluate(self, k: int, trained: bool = True) -> list[Tensor]:
        """The losses of batch k wherever the parameters have been moved to."""
        return self._method._again(self._given, k, trained)

    def values(self, losses: Sequence[Tensor]) -> Tensor:
        """Detached losses ``[T]``, float64 on the host."""
        return self._method._values(losses).double().cpu()

    def gradient(self, losses: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """Σ w_t ∇L_t, by parameter, in one backward pass."""
        scaler = self._given.scaler
        used = [t for t, loss in enumerate(losses) if loss.requires_grad]
        seeds = [torch.full_like(losses[t], float(weights[t]) * scaler) for t in used]
        self._method._passed(1)
        found = torch.autograd.grad([losses[t] for t in used], self.parameters, seeds, retain_graph=True, allow_unused=True)
        dense = [torch.zeros_like(p) if g is None else g.to_dense() for p, g in zip(self.parameters, found, strict=True)]
        return dense if scaler == 1.0 else torch._foreach_div(dense, scaler)  # type: ignore[return-value]

    def norm(self, direction: Sequence[Tensor]) -> float:
        """Length of a direction given by parameter."""
        lengths = [torch.linalg.vector_norm(part).to(direction[0].device, torch.float64) for part in direction]
        return float(torch.linalg.vector_norm(torch.stack(lengths)))

    def combined(self, rows: jacobian.Rows, weights: Tensor) -> list[Tensor]:
        """Σ w_t ∇L_t, by parameter, from the rows."""
        return [piece for _, piece in sorted(rows.pieces(rows.combine(weights), self.parameters), key=itemgetter(0))]

    def rows(self, losses: Sequence[Tensor], name: str, further: Sequence[Sequence[Tensor]] = ()) -> jacobian.Rows:
        """∇L_t as row t, and after them what ``further`` gives by parameter; T backward passes, into the buffer of that name."""
        method, scaler = self._method, self._given.scaler
        rows = method._buffer(self.parameters, name, method.num_tasks + len(further))
        jacobian.gradient_rows(graph.roots_of(losses), self.parameters, rows, scaler)
        method._passed(method.num_tasks)
        for index, given in enumerate(further):
            rows.fill(method.num_tasks + index, given)
        if scaler != 1.0:
            for block in rows.blocks:
                block[: method.num_tasks] /= scaler
        return rows

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Whatever happens inside, every parameter has its bits back afterwards, at its address.

        Graphs made before stay valid; those made inside are to be used inside, where the parameters are what they were made of.
        """
        kept = [parameter.detach().clone() for parameter in self.parameters]
        try:
            yield
        finally:
            for parameter, old in zip(self.parameters, kept, strict=True):
                parameter.data.copy_(old)  # by .data: autograd then does not take the graphs made before for outdated
            torch.clear_autocast_cache()

    def move(self, direction: Sequence[Tensor], by: float) -> None:
        """Moves the parameters by a multiple of a direction; inside :meth:`restored`."""
        torch._foreach_add_([parameter.data for parameter in self.parameters], list(direction), alpha=by)


class BilevelMethod(_SeveralMethod):
    """Loss weights, learned from where virtual steps with them lead. The weighted losses are back-propagated at the end, heads included."""

    @abstractmethod
    def weights(self, ahead: Lookahead) -> Tensor:
        """Weights ``[T]`` of this step's losses, or ``[K, T]`` of those of the first K batches, in float64 on the host.

        Only called where this step's losses are finite; the parameters are to be where they were when it returns.
        """

    def learn(self, adam: Adam, value: Tensor, gradient: Tensor) -> None:
        """Moves what is learned; a virtual step that led to what is not finite teaches nothing and is counted."""
        if bool(gradient.isfinite().all()):
            adam.step(value, gradient)
        else:
            self.count("lookahead_not_finite")

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        values = self._values(losses)
        ahead = Lookahead(self, losses, given)
        if not ahead.parameters:
            raise MethodError(
                f"{self.card.name}: the losses reach no parameter; expected those of a model, or shared=[...] that they reach"
            )
        finite = bool(values.isfinite().all())
        found = self.weights(ahead) if finite else torch.full((self.num_tasks,), math.nan)
        weights = self._checked(found, 1 + self.extra_batches)
        batches = [loss for k in range(len(weights)) for loss in ahead.batch(k)]
        if self.scale == "grad_norm":
            shared = self._shared(given.shared)
            rows = self._buffer(shared, "scale", len(batches))
            jacobian.gradient_rows(graph.roots_of(batches), shared, rows, given.scaler)
            self._passed(len(batches))
            weights = weights * self._norm_factor(rows.gramian(), weights.flatten())
        else:
            weights = weights * self._factor()
        if self.priority is not None:
            weights = weights * torch.tensor(self.priority, dtype=torch.float64)
        seeds = (weights * given.scaler).flatten().tolist()
        roots = [(loss, torch.full_like(loss, seed)) for loss, seed in zip(batches, seeds, strict=True) if loss.requires_grad]
        torch.autograd.backward([loss for loss, _ in roots], [seed for _, seed in roots])
        self._passed(len(weights))
        return Step(values, weights.sum(0).to(values))
