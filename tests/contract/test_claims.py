"""Every method keeps what its card claims, on named and on drawn inputs. A new method is covered by its file alone."""

from typing import get_args

import pytest
from hypothesis import given
from torch import Tensor

import methods
from methods.card import Claim
from methods.contract import claims
from methods.contract.inputs import on_each
from tests.inputs import jacobians

CLAIMS = [(name, claim) for name in methods.names() for claim in methods.card(name).claims]


def test_every_claim_has_a_check() -> None:
    assert set(claims.CHECKS) == set(get_args(Claim))


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_a_claim_holds_on_named_and_drawn_inputs(name: str, claim: str) -> None:
    broken = claims.keeps(name, claim)
    assert broken is None, broken


@pytest.mark.parametrize("name", methods.names())
def test_a_direction_is_the_weighted_sum_and_turns_with_the_parameters(name: str) -> None:
    on_each(claims.inputs(claims.DRAWN), lambda jacobian: claims.weighted_sum(name, jacobian))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "claim"), CLAIMS)
@given(jacobian=jacobians())
def test_a_claim_holds_on_further_inputs(name: str, claim: str, jacobian: Tensor) -> None:
    claims.CHECKS[claim](name, jacobian)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
@given(jacobian=jacobians())
def test_a_direction_is_the_weighted_sum_on_further_inputs(name: str, jacobian: Tensor) -> None:
    claims.weighted_sum(name, jacobian)
