"""Random loss weighting: on the simplex, with mean 1/T, fresh at every step."""

import pytest
import torch

from tests import linear
from tests.inputs import gaussian


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_weights_have_mean_one_over_t(distribution: str) -> None:
    balancer = linear.create("rlw", 4, distribution=distribution)
    drawn = torch.stack([balancer.draw() for _ in range(4000)])
    assert torch.allclose(drawn.sum(1), torch.ones(4000), atol=1e-6)
    assert torch.allclose(drawn.mean(0), torch.full((4,), 0.25), atol=0.02)
    assert len(drawn.unique(dim=0)) == 4000


def test_dirichlet_weights_have_the_variance_of_the_uniform_law_on_the_simplex() -> None:
    drawn = torch.stack([linear.create("rlw", 3, distribution="dirichlet", seed=k).draw() for k in range(3000)])
    assert drawn.var(0).mean().item() == pytest.approx(2 / 36, rel=0.1)  # (K - 1) / (K² (K + 1)), K = 3


def test_every_step_draws_anew() -> None:
    balancer = linear.create("rlw", 3)
    one, two = (linear.step(balancer, gaussian(3, 4))[1] for _ in range(2))
    assert not torch.equal(one, two)
