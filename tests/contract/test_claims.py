"""Every method keeps what its card claims, on every named input and on drawn ones. A new method is covered by its file alone."""

from typing import get_args

import pytest
from hypothesis import given, settings
from torch import Tensor

import methods
from methods.card import Claim
from methods.contract import claims
from methods.contract.inputs import on_each
from tests.inputs import INPUTS, jacobians

CLAIMS = [(name, claim) for name in methods.names() for claim in methods.card(name).claims]


def test_every_claim_has_a_check() -> None:
    assert set(claims.CHECKS) == set(get_args(Claim))


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_claim_on_named_inputs(name: str, claim: str) -> None:
    on_each(INPUTS, lambda jacobian: claims.CHECKS[claim](name, jacobian))


@pytest.mark.parametrize(("name", "claim"), [(name, claim) for name, claim in CLAIMS if claim not in claims.RARELY_BROKEN])
@settings(max_examples=24)
@given(jacobian=jacobians())
def test_claim_on_drawn_inputs(name: str, claim: str, jacobian: Tensor) -> None:
    claims.CHECKS[claim](name, jacobian)


@pytest.mark.parametrize(("name", "claim"), [(name, claim) for name, claim in CLAIMS if claim in claims.RARELY_BROKEN])
@given(jacobian=jacobians())
def test_claim_on_many_drawn_inputs(name: str, claim: str, jacobian: Tensor) -> None:
    claims.CHECKS[claim](name, jacobian)


@pytest.mark.parametrize("name", methods.names())
@given(jacobian=jacobians())
def test_a_direction_is_the_weighted_sum_and_turns_with_the_parameters(name: str, jacobian: Tensor) -> None:
    claims.weighted_sum(name, jacobian)
