from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import Array, equilibrated

ALMOST_ONE = 1 - 1e-9


@register(
    Card(
        name="gradvac",
        version=1,
        title="Gradient Vaccine",
        paper="Wang et al., Gradient Vaccine: Investigating and Improving Multi-task Optimization in Multilingual Models, ICLR 2021",
        year=2021,
        arxiv="2010.05874",
        family="gramian",
        equation="Σ h_i, h_i = g_i; for j ≠ i in random order: h_i += a g_j so that cos(h_i, g_j) ≥ φ_ij, φ an EMA of these cosines",
        hyperparameters=(
            Hyperparameter("beta", 0.5, "weight of the newest cosine in φ; 0 is PCGrad", low=0.0, high=1.0, sweep=(0.01, 1.0), log=True),
        ),
        claims=("degree_1",),
        randomised=True,
        deviations="one φ a pair for the whole trunk; β as in LibMTL and torchjd (0.01 in the paper); φ is kept inside (-1, 1)",
    )
)
class GradVac(GramianMethod):
    """PCGrad with moving targets: a pair of gradients that is less aligned than usual is brought back to its usual cosine."""

    beta: float
    phi: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        self.register_buffer("phi", torch.zeros(self.num_tasks, self.num_tasks, dtype=torch.float64))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        keys = torch.rand(len(losses), len(losses), generator=self.generator)
        keys.fill_diagonal_(2.0)  # i itself comes last, and is cut off
        alive = (gramian.diagonal() > 0).numpy()
        order = keys.argsort(dim=1)[:, :-1].numpy()
        if alive.all():
            return torch.from_numpy(vaccinated(gramian.numpy(), order, self.phi.numpy(), self.beta))
        kept, index = np.flatnonzero(alive), np.cumsum(alive) - 1
        order = np.stack([index[row[alive[row]]] for row in order[kept]])
        phi = self.phi.numpy()[np.ix_(kept, kept)]
        weights = torch.zeros_like(losses)
        weights[kept] = torch.from_numpy(vaccinated(gramian.numpy()[np.ix_(kept, kept)], order, phi, self.beta))
        self.phi.numpy()[np.ix_(kept, kept)] = phi
        return weights


def vaccinated(gramian: Array, order: np.ndarray, phi: Array, beta: float) -> Array:
    """Weights ``[T]`` when task i meets the tasks ``order[i]`` (``[T, T-1]``) in turn; φ ``[T, T]`` is updated in place.

    With the cosines C, h_i = Jᵀ N⁻¹ c_i and cos(h_i, g_j) = (c_i C)_j / √(c_i C c_iᵀ). All tasks take their k-th step together.
    """
    cosines, norms = equilibrated(gramian)
    size = len(norms)
    coefficients = np.diag(norms)
    products = norms[:, None] * cosines
    tiny = 1e-14 * norms**2
    tangent, seen = phi / np.sqrt(1 - phi * phi), phi.copy()
    starts = np.arange(size) * size
    flat_coefficients, flat_products, flat_phi = coefficients.reshape(-1), products.reshape(-1), phi.reshape(-1)  # views
    flat_tangent, flat_seen = tangent.reshape(-1), seen.reshape(-1)
    for met in order.T:
        pairs = starts + met
        target = flat_phi.take(pairs)
        squared = np.einsum("ij,ij->i", coefficients, products)
        length = np.sqrt(np.maximum(squared, tiny))
        rho = np.minimum(np.maximum(flat_products.take(pairs) / length, -1.0), 1.0)
        rho = np.where(squared > tiny, rho, target)  # an h_i that earlier steps took away has no angle
        flat_seen[pairs] = rho
        step = length * (flat_tangent.take(pairs) * np.sqrt(1 - rho * rho) - rho) * (rho < target)
        flat_coefficients[pairs] += step
        products += step[:, None] * cosines.take(met, axis=0)
    phi += beta * (seen - phi)
    np.clip(phi, -ALMOST_ONE, ALMOST_ONE, out=phi)
    weights: Array = coefficients.sum(axis=0) / norms
    return weights
