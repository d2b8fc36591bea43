"""FAMO with a lower bound for every loss, as the authors' toy has: the registry's has one for all."""

from __future__ import annotations

import torch
from torch import Tensor

import methods
from methods.positive import positive

NAME = "famo_bounds"


@methods.register(
    methods.Card(
        name="famo_bounds",
        version=1,
        title="FAMO, a bound for every task",
        paper="Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023 (min_losses of its toy)",
        year=2023,
        arxiv="2306.03792",
        family="loss",
        equation="c Σ z_t log D_t, z = softmax(ξ), D = L - b, c = sg(1 / Σ z_t / D_t); ξ learned from log D before and after the step",
        native_scale="mean",
        hyperparameters=(
            methods.Hyperparameter("lr", 0.025, "of Adam on ξ", low=0.0),
            methods.Hyperparameter("gamma", 1e-3, "weight decay of ξ, coupled", low=0.0),
            methods.Hyperparameter("bounds", "0", "b, lower bounds of the losses in the order of the tasks, as -2.1/-21; 0: of all"),
        ),
        claims=("simplex",),
        coincides=("famo",),
        deviations="with its default it is famo; its bound is 0 and stays there",
    )
)
class BoundedFAMO(methods.get("famo")):  # type: ignore[misc]
    """Everything is the registry's but D."""

    bounds: str
    floor: Tensor
    bound = 0.0

    def setup(self) -> None:
        super().setup()
        try:
            floor = torch.tensor([float(part) for part in self.bounds.split("/")], dtype=torch.float64)
        except ValueError as error:
            raise methods.MethodError(f"{NAME}.bounds is {self.bounds!r}; expected numbers between slashes, as -2.1/-21") from error
        if len(floor) not in (1, self.num_tasks):
            raise methods.MethodError(f"{NAME}.bounds is {self.bounds!r}: {len(floor)} numbers; expected {self.num_tasks}, one a task")
        self.register_buffer("floor", floor, persistent=False)

    def gaps(self, losses: Tensor) -> Tensor:
        """D ``[T]``."""
        return positive(self, losses - self.floor.to(losses))
