from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import Array, eigensystem, equilibrated
from methods.solvers.matrix import scaled


@register(
    Card(
        name="imtl_g",
        version=1,
        title="IMTL-G",
        paper="Liu et al., Towards Impartial Multi-task Learning, ICLR 2021 (OpenReview IMPnRXEWpvr)",
        year=2021,
        family="gramian",
        equation="Σ α_t g_t, Σ α_t = 1, <d, g_t / n_t> equal for all t: α ∝ G⁺ n",
        native_scale="mean",
        hyperparameters=(Hyperparameter("sign_fix", False, "turn d around where it would make every task worse"),),
        claims=("permutation_equivariant", "degree_1"),
        deviations=(
            "heads with their own plain gradient (α_t may be negative); for two tasks the closed form α ∝ 1/n, also where gradients are "
            "opposite, so that d = 0 there; d = 0 where the components of G⁺ n cancel"
        ),
    )
)
class IMTLG(GramianMethod):
    """The affine combination of the task gradients whose projection on each of them is the same."""

    sign_fix: bool

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        found = impartial(gramian.numpy(), self.rounding)
        if not found.any():
            self.count("imtl_g_undefined")
        weights = torch.from_numpy(found)
        # <d, u_t> n_t = (G α)_t has the sign of 1 / (1ᵀ G⁺ n) for every t.
        return -weights if self.sign_fix and float((gramian @ weights / gramian.diagonal().sqrt()).sum()) < 0 else weights


def impartial(gramian: Array, eps: float) -> Array:
    """α = v / Σ v, v = G⁺ n; 0 where Σ v is rounding.

    Where the gradients are independent, v = N⁻¹ C⁻¹ 1, which no scale of a task can spoil.
    """
    cosines, norms = equilibrated(gramian)
    if len(norms) == 2:
        closed: Array = norms[::-1] / norms.sum()
        return closed
    values, vectors = eigensystem(cosines, eps)
    if len(values) == len(norms):
        v = vectors @ (vectors.sum(axis=0) / values) / norms * norms.min()
    else:
        problem = scaled(gramian)
        values, vectors = eigensystem(problem, eps)
        v = vectors @ ((np.sqrt(problem.diagonal()) @ vectors) / values)
    total = float(v.sum())
    if abs(total) <= 8 * len(norms) * eps * float(np.abs(v).sum()):
        return np.zeros_like(v)
    found: Array = v / total
    return found
