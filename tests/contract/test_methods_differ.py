"""Every method differs from equal weights and from every other, unless its card says that they coincide."""

import pytest

import methods
from methods.contract import differs


@pytest.mark.parametrize("name", methods.names())
def test_two_methods_are_one_only_where_a_card_says_so(name: str) -> None:
    for other in methods.names():
        if other > name:
            differs.apart(name, other)
