"""Every method differs from equal weights and from every other, unless its card says that they coincide."""

import itertools

import pytest

import methods
from methods.contract import differs


@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(methods.names(), 2)))
def test_two_methods_are_one_only_where_a_card_says_so(one: str, two: str) -> None:
    differs.apart(one, two)
