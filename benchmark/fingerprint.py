"""What a submission could change in whoever judges it: where each function is, and its code; and what the checks are made with.

:mod:`benchmark.examination` runs this text apart, so that the functions it looks with are not to be found by a name.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import torch

TRUSTED = (
    "torch", "torch.linalg", "torch.autograd", "torch.random", "torch.nn.functional", "math", "time", "builtins", "numpy",
)  # fmt: skip
"""Whose functions must stay, beside all of ``methods`` and ``benchmark``."""
JUDGES = "methods.contract"
"""Where constants must stay too."""
PLAIN = (bool, int, float, str, bytes, type(None))


def fingerprint() -> dict[str, object]:
    """By name. What is new from one call to the next is no difference."""
    found: dict[str, object] = {}
    for place, thing in _places():
        for name, value in list(vars(thing).items()):
            if isinstance(value, type) and value.__module__ == place:
                found |= {f"{place}.{name}.{each}": _identity(inner) for each, inner in list(vars(value).items()) if callable(inner)}
            elif callable(value):
                found[f"{place}.{name}"] = _identity(value)
            elif place.startswith(JUDGES) and not name.startswith("__"):
                found |= _constant(f"{place}.{name}", value)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was. What is new is no difference."""
    return [name for name, value in before.items() if after.get(name) != value]


def _places() -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        if name in TRUSTED or name.partition(".")[0] in ("methods", "benchmark"):
            yield name, module
    yield "torch.Tensor", torch.Tensor


def _identity(thing: object) -> object:
    return (id(thing), hash(thing.__code__)) if isinstance(thing, types.FunctionType) else id(thing)


def _constant(name: str, value: object) -> dict[str, object]:
    """A mapping by its entries, so that one more is no difference; of checks, what they run."""
    if isinstance(value, dict):
        return {key: each for entry, inner in list(value.items()) for key, each in _constant(f"{name}[{entry!r}]", inner).items()}
    if isinstance(value, (tuple, list)):
        return {name: tuple(tuple(_constant("", inner).values()) for inner in value)}
    if isinstance(value, torch.Tensor):
        return {name: (id(value), repr(value.tolist()))}
    if type(value) in PLAIN:
        return {name: value}
    return {name: (_identity(value), *(id(getattr(value, part, None)) for part in ("run", "unless")))}
