from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.initial import require_positive
from methods.registry import register
from methods.solvers import CERTIFIED, Array, frank_wolfe, min_norm


@register(
    Card(
        name="mgda",
        version=1,
        title="MGDA",
        paper="Sener & Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018",
        year=2018,
        arxiv="1810.04650",
        family="gramian",
        equation="argmin over the simplex of ‖Σ w_t g_t / s_t‖², s = 1, n, L or L n",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("solver", "exact", "active set, or the article's Frank-Wolfe", choices=("exact", "frank_wolfe")),
            Hyperparameter("iterations", 250, "of Frank-Wolfe at most", low=1),
            Hyperparameter("tolerance", 1e-4, "relative duality gap at which Frank-Wolfe stops", low=0.0, high=1.0),
            Hyperparameter(
                "normalize",
                "none",
                "s: none, gradient norm, loss, or both",
                choices=("none", "l2", "loss", "loss+"),
                sweep=("none", "l2", "loss", "loss+"),
            ),
            Hyperparameter("applied_to", "raw", "the raw gradients (official) or the normalised ones", choices=("raw", "normalized")),
            Hyperparameter(
                "on", "parameters", "the shared parameters or the representation (MGDA-UB)", choices=("parameters", "representation")
            ),
        ),
        claims=("permutation_equivariant", "non_conflicting", "simplex", "zero_at_pareto_stationarity", "degree_1"),
        deviations=(
            "exact min-norm point instead of projected gradient steps; s = 1 is the default (the paper's is loss+ on the representation); "
            "the claims are those of s = 1 with the exact solver"
        ),
    )
)
class MGDA(GramianMethod):
    """The shortest convex combination of the task gradients: no task gets worse; 0 exactly at Pareto stationary points."""

    solver: str
    iterations: int
    tolerance: float
    normalize: str
    applied_to: str
    on: str
    zero_rows = "seen"

    @property
    def where(self) -> str:
        return "shared" if self.on == "parameters" else "representation"

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        inverse = 1 / self.scales(gramian.numpy(), losses)
        problem = gramian.numpy() * inverse * inverse[:, None]
        exact = self.solver == "exact"
        found = min_norm(problem, self.rounding) if exact else frank_wolfe(problem, self.iterations, self.tolerance)
        if found.gap > (CERTIFIED if exact else self.tolerance):
            self.count(f"{self.solver}_gap")
        return torch.from_numpy(found.weights * inverse if self.applied_to == "normalized" else found.weights)

    def scales(self, gramian: Array, losses: Tensor) -> Array:
        """s ``[T]``; a zero gradient stays zero."""
        scales = np.ones(len(losses))
        if self.normalize in ("l2", "loss+"):
            norms = np.sqrt(gramian.diagonal())
            scales = np.where(norms > 0, norms, 1.0)
        if self.normalize in ("loss", "loss+"):
            require_positive(losses, f"mgda(normalize={self.normalize!r})", "divides by the losses", zero=False)
            scales = scales * losses.numpy()
        return scales
