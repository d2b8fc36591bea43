from __future__ import annotations

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.initial import InitialLosses, relative_rates, require_positive
from methods.registry import register

SMALLEST = 1e-4


@register(
    Card(
        name="gradnorm",
        version=1,
        title="GradNorm",
        paper="Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, ICML 2018",
        year=2018,
        arxiv="1711.02257",
        family="gramian",
        equation="Σ w_t L_t, w learned by ∂/∂w Σ |w_t n_t - sg(mean_i(w_i n_i) r_t^α)|, Σ w = T",
        where="last",
        hyperparameters=(
            Hyperparameter("alpha", 1.5, "strength of the pull towards equal training rates", low=0.0, high=10.0, sweep=(0.0, 3.0)),
            Hyperparameter("lr", 0.025, "of Adam on w", low=0.0, sweep=(0.0025, 0.25), log=True),
            Hyperparameter(
                "initial",
                "first",
                "L(0) from the first batch, from k batches of the untrained model, or from theory",
                choices=("first", "batches", "theory"),
            ),
            Hyperparameter("batches", 10, "k", low=1),
        ),
        claims=("permutation_equivariant",),
        positive_losses=True,
        deviations=(
            "the gradient of w is written out (no second backward); w is kept above 1e-4 before it is renormalised, without which a large "
            "difference of scale drives it negative; heads follow the weighted total, as in the paper, so that a task without a gradient "
            "on W keeps its weight, and with it its head"
        ),
    )
)
class GradNorm(InitialLosses, GramianMethod):
    """Learns weights that bring the task gradients on the last shared layer to a common norm, larger for tasks that train slowly."""

    alpha: float
    lr: float
    w: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        super().setup()
        self.register_buffer("w", torch.ones(self.num_tasks, dtype=torch.float64))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        require_positive(losses, self.card.name, "compares training rates L/L(0)")
        norms = gramian.diagonal().sqrt()
        alive = norms > 0
        current = self.w.clone()
        weighted = current * norms
        target = weighted[alive].mean() * relative_rates(losses, self.started(losses), alive) ** self.alpha
        # dL_grad/dw_t = sign(w_t n_t - target_t) n_t; a task without a gradient has no say.
        self.adam.step(self.w, torch.where(alive, torch.sign(weighted - target) * norms, 0.0))
        self.w.clamp_(min=SMALLEST)
        self.w *= self.num_tasks / self.w.sum()
        return current  # the model still follows the weights of before this step (Algorithm 1)
