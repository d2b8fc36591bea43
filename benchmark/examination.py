"""What happens inside the sandbox when a submission is validated: it is imported, and the contract is gone through."""

from __future__ import annotations

import importlib
import os
import random
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import torch

import methods.contract.table
from benchmark.executors.work import one_line
from benchmark.sandbox import Send
from methods import contract, registry
from methods.contract import Finding

TRUSTED = ("methods", "benchmark", "torch", "torch.Tensor", "torch.nn.functional", "math", "time", "builtins", "numpy")
"""Whose functions must be the same afterwards; of the first two with all below them."""


class Order(msgspec.Struct, frozen=True):
    """What to examine.

    ``source`` is what the registry is to load first, empty for what it knows; ``secrets`` are planted in the environment.
    """

    name: str
    source: str
    secrets: dict[str, str]
    skip: tuple[str, ...]


def examine(argument: bytes, send: Send) -> None:
    """Sends findings: ``import``, those of the contract, ``globals`` and ``report``."""
    order = msgspec.msgpack.decode(argument, type=Order)
    encode = msgspec.msgpack.encode

    def report(finding: Finding) -> None:
        send(encode(finding))

    torch.set_num_threads(1)
    os.environ.update(order.secrets)
    before, state = fingerprint(), globals_()
    streams = generators()
    start = time.perf_counter()
    try:
        if order.source:
            registry.load(order.source)
        imported(order.name)
    except Exception as error:  # noqa: BLE001 - whatever importing raises is the finding
        report(Finding("import", "failed", one_line(error), time.perf_counter() - start))
        return
    report(Finding("import", "passed", "", time.perf_counter() - start))
    changed = [*differences(state, globals_()), *differences(streams, generators())]
    if not changed:
        contract.examine(order.name, report, order.skip)
        changed = differences(state, globals_())
    report(
        Finding("globals", "failed" if changed else "passed", f"changes {', '.join(changed)} of the whole program" if changed else "", 0.0)
    )
    replaced = differences(before, fingerprint())[:4]
    message = f"replaces functions of others: {', '.join(replaced)}" if replaced else ""
    report(Finding("report", "failed" if replaced else "passed", message, 0.0))


def imported(name: str) -> None:
    """Runs the module of a method, or of an object to adapt; a class that was defined in this session has run already."""
    source = registry.find(name)
    if source is not None:
        module = importlib.import_module(source.module) if source.module else registry.import_file(source.path)
        if not hasattr(module, source.class_name):
            raise ImportError(f"{source.class_name} is not in it once it has been imported")


def globals_() -> dict[str, object]:
    """What a method finds as it is, and has to leave so."""
    return {
        "the default dtype": torch.get_default_dtype(),
        "the default device": str(torch.get_default_device()),
        "the number of threads": torch.get_num_threads(),
        "whether gradients are taken": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the limit of recursion": sys.getrecursionlimit(),
    }


def generators() -> dict[str, object]:
    """States of the global random generators."""
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": repr(np.random.get_state()),  # noqa: NPY002 - the global one is what is looked at
        "Python's random state": random.getstate(),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was. What is new is no difference."""
    return [name for name, value in before.items() if after.get(name) != value]


def fingerprint() -> dict[str, object]:
    """The functions of whoever judges: where each is, and its code."""
    found: dict[str, object] = {}
    for place, thing in _places():
        for name, value in list(vars(thing).items()):
            if isinstance(value, type) and value.__module__ == place:
                found |= {f"{place}.{name}.{each}": _identity(inner) for each, inner in list(vars(value).items()) if callable(inner)}
            elif callable(value):
                found[f"{place}.{name}"] = _identity(value)
    found["the list of checks"] = tuple(id(check.run) for check in methods.contract.table.CHECKS)
    return found


def _places() -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        if name in TRUSTED or name.startswith(("methods.", "benchmark.")):
            yield name, module
    yield "torch.Tensor", torch.Tensor


def _identity(thing: object) -> object:
    return (id(thing), hash(thing.__code__)) if isinstance(thing, types.FunctionType) else id(thing)
