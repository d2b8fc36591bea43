"""The first thing: it can be made, and takes a step."""

from __future__ import annotations

from methods.contract import linear
from methods.contract.inputs import INPUTS


def builds(name: str) -> str:
    jacobian = INPUTS["random"]
    linear.step(linear.create(name, len(jacobian)), jacobian)
    return ""
