from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import LossMethod
from methods.initial import InitialLosses
from methods.registry import register


@register(
    Card(
        name="ldc_mtl",
        version=2,
        title="Loss discrepancy control",
        paper="Xiao et al., LDC-MTL: Balancing Multi-Task Learning through Scalable Loss Discrepancy Control, 2025",
        year=2025,
        arxiv="2502.08585",
        family="loss",
        equation="Σ σ_t L̃_t + λ Σ_{t<T} |σ_t L̃_t - σ_{t+1} L̃_{t+1}|, L̃ = L min_i L_i(0) / L(0), σ = softmax(v), v learned",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("penalty", 0.05, "λ; above 1/2 a weight can turn negative", low=0.0, sweep=(0.005, 0.5), log=True),
            Hyperparameter("lr", 1e-3, "of Adam on v", low=0.0, sweep=(1e-4, 1e-1), log=True),
            Hyperparameter(
                "initial",
                "first",
                "L(0) from the first batch, from k batches of the untrained model, or from theory",
                choices=("first", "batches", "theory"),
            ),
            Hyperparameter("batches", 10, "k", low=1),
        ),
        claims=("loss_scale_invariant",),
        positive_losses=True,
        deviations=(
            "σ is a softmax of T learned numbers, the same for every input, where the paper has a small network that reads the features; "
            "v has an Adam of its own, at a rate usual for models, since a fast one gives everything to the smallest loss; λ as on NYUv2; "
            "only neighbours are compared, so the order of the tasks matters, as in the paper; an initial loss that is not positive is an "
            "error"
        ),
    )
)
class LDCMTL(InitialLosses, LossMethod):
    """One level in place of two: the upper level (small differences between weighted losses) is a penalty, and σ learns with the model."""

    penalty: float
    lr: float

    def setup(self) -> None:
        super().setup()
        self.v = nn.Parameter(torch.zeros(self.num_tasks))
        self.adam = Adam((self.num_tasks,), self.lr)

    def objective(self, losses: Tensor) -> Tensor:
        start = self.started(losses)
        weighted = self.v.softmax(0) * (losses / start * start.min())  # in this order: all are equal at first, to the last bit
        return weighted.sum() + self.penalty * weighted.diff().abs().sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        start, shares = self.started(losses), self.v.detach().softmax(0)
        least = start.min()
        level = losses / start * least  # as in the objective
        weighted = shares * level
        differences = _differences(self.num_tasks, weighted.dtype, weighted.device)
        slopes = 1 + self.penalty * ((differences @ weighted).sign() @ differences)
        of_shares = (level * slopes).to(shares)
        of_shares = of_shares - of_shares[0]  # where all are equal v stays, to the last bit: Adam divides any rounding by itself
        return (shares * slopes * (least / start)).to(losses), [shares * (of_shares - shares @ of_shares)]

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        assert gradients[0] is not None  # the objective depends on v
        self.adam.step(self.v, gradients[0] / self.start.min())  # in units of the losses, so that Adam's epsilon is not


@lru_cache(maxsize=8)
def _differences(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Of neighbours, ``[T - 1, T]``."""
    return torch.eye(count, dtype=dtype, device=device).diff(dim=0)
