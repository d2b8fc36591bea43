"""The convex toy: three quadratics of different minima and scales. A method that balances losses lets all of them fall."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from methods.contract import linear
from methods.contract.inputs import gaussian, show
from methods.contract.outcome import Broken

STEPS = 200
LEARNING_RATE = 0.1
MINIMA = gaussian(3, 6, seed=5) / 2
CURVATURES = 0.5 + 1.5 * torch.rand(3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
SCALES = torch.tensor([1.0, 30.0, 0.1], dtype=torch.float64)
START = torch.full((6,), 4.0, dtype=torch.float64)
FALL = 0.5
NEAR = 0.01


def losses_at(theta: Tensor) -> list[Tensor]:
    """s_t (0.1 + Σ_i c_ti (θ_i - m_ti)² / 2): positive everywhere, strongly convex."""
    return [
        scale * (0.1 + (curvature * (theta - minimum).square()).sum() / 2)
        for scale, curvature, minimum in zip(SCALES.tolist(), CURVATURES, MINIMA, strict=True)
    ]


def trained(name: str) -> tuple[Tensor, list[Tensor]]:
    """(θ ``[6]``, losses ``[3]`` before every step) of Adam along the method's updates, at a rate that falls to zero."""
    theta = torch.nn.Parameter(START.clone())
    with torch.no_grad():
        initial = torch.stack(losses_at(theta)).tolist()
    balancer = linear.create(name, 3, initial_losses=initial, prior_losses=SCALES.tolist())
    optimizer = torch.optim.Adam([theta], lr=LEARNING_RATE)
    course = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        optimizer.zero_grad()
        course.append(torch.stack(losses_at(theta)).detach())
        linear.backward(balancer, lambda: losses_at(theta), shared=[theta])
        optimizer.step()
        linear.after_step(balancer, losses_at(theta))
    return theta.detach(), course


def stationarity(theta: Tensor) -> float:
    """The length of the shortest convex combination of the gradients: 0 on the Pareto set."""
    point = theta.clone().requires_grad_()
    columns = torch.stack([torch.autograd.grad(loss, point)[0] for loss in losses_at(point)]).T.numpy()
    heavy = 1e3 * np.abs(columns).max()  # what the sum of the shares, 1, counts for beside the length
    shares, _ = nnls(np.vstack([columns, np.full((1, 3), heavy)]), np.append(np.zeros(len(theta)), heavy))
    return float(np.linalg.norm(columns @ shares))


def improves(name: str) -> str:
    theta, course = trained(name)
    first, last = course[0], torch.stack(losses_at(theta)).detach()
    if not bool(last.isfinite().all()):
        broken = next((step for step, losses in enumerate(course) if not bool(losses.isfinite().all())), STEPS)
        raise Broken(f"on convex losses it diverges at step {broken}: they are {show(last)}; expected them to fall from {show(first)}")
    if bool((last > FALL * first).any()):
        raise Broken(
            f"on convex losses it goes from {show(first)} to {show(last)} in {STEPS} steps of Adam; expected all to fall to half or less"
        )
    far = stationarity(theta) / stationarity(START)
    if far > NEAR and "zero_at_pareto_stationarity" in linear.card(name).claims:
        raise Broken(
            f"on convex losses the shortest convex combination of the gradients falls to {far:.3g} of its length; "
            f"expected {NEAR} or less, as it claims zero_at_pareto_stationarity"
        )
    return f"losses fall to {show(last / first)} of what they were, the shortest convex combination of the gradients to {far:.2g}"
