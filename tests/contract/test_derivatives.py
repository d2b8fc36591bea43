"""Derivatives that a method writes out are those of its objective, and lead to the same state."""

from typing import Any

import pytest

import methods
from methods.contract import derivatives

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in methods.names() if derivatives.written_out(name)),
    ("stch", {"form": "raw", "mu": 0.1}),
    ("stch", {"warmup": 0, "window": 2, "mu": 0.1}),
    ("uncertainty", {"coefficient": "half"}),
    ("ldc_mtl", {"initial": "theory", "penalty": 0.4}),
    ("pnorm", {"p": 1.0}),
    ("pnorm", {"p": 100.0}),
    *((name, {"ideal": -2.0}) for name in ("tchebycheff", "pnorm", "pbi", "cosmos")),
]


@pytest.mark.parametrize("kind", derivatives.LOSSES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_derivatives_are_those_of_the_objective(name: str, options: dict[str, Any], kind: str) -> None:
    derivatives.same_as_objective(name, kind, **options)
