"""Honest methods of unusual shape are not refused, and what they most likely forgot is said."""

from typing import Any

import pytest
import torch
from torch import Tensor

import methods
from methods.contract import Broken, edges
from methods.families.several import Lookahead


def card(family: str, **fields: Any) -> methods.Card:
    return methods.Card(name="unusual", version=1, title="t", paper="p", year=2026, family=family, equation="e", **fields)


def test_weights_from_losses_where_a_step_leads_are_compared_with_those_of_the_same_losses(forget: None) -> None:
    @methods.register(card("several"))
    class Ahead(methods.BilevelMethod):
        extra_batches = 1

        def weights(self, ahead: Lookahead) -> Tensor:
            with ahead.restored():
                ahead.move(ahead.gradient(ahead.batch(0), torch.ones(self.num_tasks)), 1e-2)
                return 1 / (1 + torch.stack([loss.detach() for loss in ahead.batch(1)]))

    edges.reach("unusual")


def test_numbers_drawn_for_every_coordinate_may_be_others_for_other_coordinates(forget: None) -> None:
    @methods.register(card("jacobian", randomised=True))
    class Sparse(methods.JacobianMethod):
        def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
            return (jacobian * (torch.rand(jacobian.shape, generator=self.generator) < 0.5)).sum(0)

    edges.reach("unusual")


def test_a_number_for_every_task_wants_to_see_them_all(forget: None) -> None:
    class Norms(methods.GramianMethod):
        def setup(self) -> None:
            self.register_buffer("mean", torch.zeros(self.num_tasks, dtype=torch.float64))

        def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
            self.mean.lerp_(gramian.diagonal().sqrt(), 0.1)
            return 1 / (1 + self.mean)

    methods.register(card("gramian"))(Norms)
    with pytest.raises(Broken, match=r"must match.*unless its class says zero_rows = \"seen\""):
        edges.stays_finite("unusual")
    Norms.zero_rows = "seen"
    edges.stays_finite("unusual")
