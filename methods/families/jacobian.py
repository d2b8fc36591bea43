"""Methods that see every coordinate of the task gradients."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods import jacobian
from methods.base import Given, Step
from methods.errors import MethodError
from methods.families.gradient import GradientMethod


class JacobianMethod(GradientMethod):
    """An update from the whole Jacobian. T backward passes; heads get their own plain gradient.

    Priorities multiply the rows that ``direction`` sees, since its result need not be a weighted sum of them.
    """

    remembers: ClassVar[tuple[str, ...]] = ()
    """Names of buffers whose size depends on J: they are None until :meth:`remembered` first asks for them."""

    def setup(self) -> None:
        for name in self.remembers:
            self.register_buffer(name, None)

    def remembered(self, name: str, like: Tensor) -> Tensor:
        """The buffer ``name``, of the shape, dtype and device of ``like``; zeros at first, and again (with a warning) if those change."""
        buffer = getattr(self, name)
        if buffer is None or (buffer.shape, buffer.dtype, buffer.device) != (like.shape, like.dtype, like.device):
            if buffer is not None:
                warnings.warn(f"{self.card.name}: the shared gradients changed shape, dtype or device; {name} starts anew", stacklevel=2)
            buffer = torch.zeros_like(like)
            setattr(self, name, buffer)
        return buffer  # type: ignore[no-any-return]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in self.remembers:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @abstractmethod
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        """Direction ``[P]`` from J ``[T, P]`` (a buffer: do not keep it) and losses ``[T]``, on the parameters' device, all finite."""

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        with torch.no_grad():
            values = self._values(losses)
            parameters = self._shared(given.shared)
            scaler = given.scaler
            seeds = self._seeds(scaler)
            rows = self._buffer(parameters)
            reached = self._reached(jacobian.backward_rows(self._roots(losses, given), seeds, parameters, rows))
            self._passed(self.num_tasks)
            matrix = rows.matrix() if scaler == 1.0 else rows.matrix() / scaler
            direction = self._turned(matrix, values)
            flat = rows.split(direction if scaler == 1.0 else direction * scaler)
            jacobian.deposit(parameters, rows.pieces(flat, parameters), reached)
        return Step(values, None)

    def turn(self, matrix: Tensor, losses: Tensor) -> Tensor:
        """The update ``[P]`` of the shared parameters for J ``[T, P]`` and detached losses ``[T]``, scale included.

        For a caller who takes the gradients; rows that have a priority are to come with it. Not finite in: nan out, state untouched.
        """
        self._passed(self.num_tasks)
        with torch.no_grad():
            return self._turned(matrix, losses)

    def _turned(self, matrix: Tensor, values: Tensor) -> Tensor:
        if not bool(torch.isfinite(values).all() & torch.isfinite(matrix.sum())):
            return torch.full_like(matrix[0], math.nan)
        mean = matrix.mean(0)
        direction = self.direction(matrix, values)
        if direction.shape != mean.shape:
            shapes = f"{tuple(direction.shape)}; expected {tuple(mean.shape)}"
            raise MethodError(f"{self.card.name}: direction() returned shape {shapes}")
        norm = direction.norm()
        if self.scale == "grad_norm":
            return torch.where(norm > 0, direction * (mean.norm() / norm), direction)
        return direction * self._factor()
