from __future__ import annotations

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families.several import BilevelMethod, Lookahead
from methods.registry import register
from methods.solvers import CERTIFIED, min_norm


@register(
    Card(
        name="moml",
        version=1,
        title="MOML",
        paper="Ye et al., Multi-Objective Meta Learning, NeurIPS 2021",
        year=2021,
        arxiv="2102.07121",
        family="several",
        equation=(
            "Σ p_t L_t, p = softmax(a); a descends the min-norm point of the h_t/‖h_t‖, "
            "h_t = ∂/∂a L'_t(θ - η Σ p_s ∇L_s), L' on another batch"
        ),
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("lr", 1e-3, "of Adam on a", low=0.0, sweep=(1e-4, 1e-1), log=True),
            Hyperparameter("inner_lr", 1e-4, "η, of the inner step", low=0.0, sweep=(1e-5, 1.0), log=True),
        ),
        claims=("permutation_equivariant", "simplex"),
        deviations=(
            "the validation batch is an independent batch of the training split; η is a setting, that of the authors' NYUv2 code; one "
            "plain inner step, whose hypergradients need no second derivatives: h_t = -η ∇L'_t(θ') Jᵀ ∂p/∂a; the min-norm point is exact, "
            "and of h_t/‖h_t‖, as in the authors' later code; 2 T + 1 backward passes; an inner step into what is not finite teaches "
            "nothing and is counted"
        ),
    )
)
class MOML(BilevelMethod):
    """Loss weights that descend all tasks' losses on other data at once, after one step with them."""

    lr: float
    inner_lr: float
    logits: Tensor

    def setup(self) -> None:
        self.register_buffer("logits", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, ahead: Lookahead) -> Tensor:
        shares = self.logits.softmax(0)
        inner = ahead.rows(ahead.batch(0), "inner")
        with ahead.restored():
            ahead.move(ahead.combined(inner, shares), -self.inner_lr)
            outer = ahead.rows(ahead.evaluate(1), "outer")
        products = outer.gramian(inner)  # <∇L'_t(θ'), ∇L_s(θ)>
        eps = torch.finfo(products.dtype).eps
        self.learn(self.adam, self.logits, self.common(-self.inner_lr * centred(products.double().cpu(), shares, eps)))
        return self.logits.softmax(0)

    def common(self, slopes: Tensor) -> Tensor:
        """The min-norm point of the rows of ``[T, T]``, each at unit length; a task whose row is zero has no say."""
        lengths = slopes.square().sum(1, keepdim=True).sqrt()
        rows = (slopes / lengths)[lengths[:, 0] != 0]
        if not len(rows) or not bool(rows.isfinite().all()):
            return rows.sum(0)
        found = min_norm((rows @ rows.T).numpy())
        if found.gap > CERTIFIED:
            self.count("moml_gap")
        common: Tensor = torch.from_numpy(found.weights) @ rows
        return common


def centred(products: Tensor, shares: Tensor, eps: float) -> Tensor:
    """B ∂softmax/∂a: row t is p_s (B_ts - Σ_i p_i B_ti), 0 where that is rounding ``eps`` of B ``[T, T]``."""
    rest = products - (products @ shares)[:, None]
    blur = 4 * len(shares) * eps * products.abs().amax(1, keepdim=True)
    return shares * torch.where(rest.abs() <= blur, 0.0, rest)
