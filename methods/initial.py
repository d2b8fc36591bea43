"""L(0): the losses of the untrained network, from theory, from k batches, or from the first batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from methods.base import Method
from methods.errors import LossRangeError, MethodError


class InitialLosses(Method):
    """Mixin for methods that compare losses with where they started.

    ``initial`` is ``first`` (the losses of the first step), ``batches`` (the mean over k batches given to :meth:`calibrate`, weighted by
    their sizes) or ``theory`` (the ``initial_losses`` that the method was created with).
    """

    initial: str
    batches: int
    start: Tensor

    def setup(self) -> None:
        start = torch.full((self.num_tasks,), torch.nan, dtype=torch.float64)
        if self.initial == "theory":
            if self.facts.initial_losses is None:
                name = self.card.name
                raise MethodError(f"{name}(initial='theory') needs initial_losses: methods.create({name!r}, ..., initial_losses=[...])")
            start = torch.tensor(self.facts.initial_losses, dtype=torch.float64)
            self._check_start(start)
        self.register_buffer("start", start)
        self._known = self.initial == "theory"

    @property
    def calibration_batches(self) -> int:
        return self.batches if self.initial == "batches" else 0

    def calibrate(self, losses: Tensor, sizes: Sequence[int] | None = None) -> None:
        if losses.dim() != 2 or losses.shape[1] != self.num_tasks or not len(losses):
            raise MethodError(f"{self.card.name}: calibrate() got losses of shape {tuple(losses.shape)}; expected (k, {self.num_tasks})")
        if self.initial != "batches":
            return
        if sizes is not None and (len(sizes) != len(losses) or not all(size > 0 for size in sizes)):
            raise MethodError(f"{self.card.name}: calibrate() got sizes {list(sizes)!r}; expected {len(losses)} numbers > 0")
        weights = torch.ones(len(losses)) if sizes is None else torch.as_tensor(sizes)
        shares = (weights.double() / weights.sum()).to(losses.device)
        start = shares @ losses.detach().double()
        self._check_start(start.cpu())
        self.start.copy_(start)
        self._known = True

    def started(self, losses: Tensor) -> Tensor:
        """L(0) ``[T]`` as the losses' dtype; the first call with finite losses settles it when ``initial == 'first'``.

        Raises:
            MethodError: ``calibrate`` was never called though ``initial == 'batches'``.
            LossRangeError: an initial loss that is not positive.
        """
        if not self._known and not bool(torch.isnan(self.start).any()):  # a state_dict was loaded
            self._known = True
        if not self._known:
            if self.initial == "batches":
                raise MethodError(
                    f"{self.card.name}(initial='batches') needs the losses of {self.batches} batches before the first step: "
                    "balancer.calibrate(losses[k, T]), or initial='first', or initial='theory'"
                )
            if not bool(torch.isfinite(losses).all()):
                return losses.detach()
            self._check_start(losses.detach().cpu())
            with torch.no_grad():
                self.start.copy_(losses.detach())
            self._known = True
        return self.start.to(losses)

    def _check_start(self, start: Tensor) -> None:
        for task, value in enumerate(start.tolist()):
            if not 0 < value < math.inf:
                what = f"that of task {task} is {value:g}; expected a finite number > 0"
                raise LossRangeError(f"{self.card.name} divides by the initial losses, but {what}")

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._known = False


def relative_rates(losses: Tensor, start: Tensor, alive: Tensor | None = None) -> Tensor:
    """r_i = L̃_i / mean_j L̃_j with L̃ = L / L(0): 1 for a task that trains at the average rate, more for a slow one (GradNorm, section 3)."""
    progress = losses / start
    mean = progress.mean() if alive is None else progress[alive].mean()
    return progress / mean if float(mean) > 0 else torch.ones_like(progress)


def require_positive(losses: Tensor, method: str, why: str, *, zero: bool = True) -> None:
    """Raises LossRangeError at the first loss below zero (or at zero, if that is no good either)."""
    for task, value in enumerate(losses.tolist()):
        if value < 0 or (value == 0 and not zero):
            raise LossRangeError(f"{method} {why}, but the loss of task {task} is {value:g}; expected {'>= 0' if zero else '> 0'}")
