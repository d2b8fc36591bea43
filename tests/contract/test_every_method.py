"""The checks that the other files of this folder do not take apart, on every method: by its name as ``validate`` makes them."""

import pytest

import methods
from methods.contract import checks

RUN = {check.name: check for check in checks()}
ELSEWHERE = {"finite", "not_finite", "zero", "unreached", "weights", "determinism", "state", "batches", "derivatives", "claims", "differs"}
"""Their functions are called by the other files, on more inputs."""
LONG = {"card", "global_state", "improves", "cost"}
ONE_OF_A_FAMILY = ["equal", "famo", "mgda", "graddrop", "sdmgrad"]


def made(name: str, check: str) -> None:
    unless = RUN[check].unless
    if unless is not None and (reason := unless(name)):
        pytest.skip(reason)
    RUN[check].run(name)


@pytest.mark.parametrize("check", sorted(RUN.keys() - ELSEWHERE - LONG))
@pytest.mark.parametrize("name", methods.names())
def test_a_method_keeps_the_contract(name: str, check: str) -> None:
    made(name, check)


@pytest.mark.parametrize("check", sorted(LONG))
@pytest.mark.parametrize("name", ONE_OF_A_FAMILY)
def test_one_method_of_each_family_passes_the_long_checks(name: str, check: str) -> None:
    made(name, check)


@pytest.mark.slow
@pytest.mark.parametrize("check", sorted(LONG))
@pytest.mark.parametrize("name", sorted({*methods.names()} - {*ONE_OF_A_FAMILY}))
def test_a_method_passes_the_long_checks(name: str, check: str) -> None:
    made(name, check)
