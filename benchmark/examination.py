"""What happens inside the sandbox when a submission is validated: it is imported, and the contract is gone through."""

from __future__ import annotations

import os
import random
import runpy
import sys
import time

import msgspec
import numpy as np
import torch

import methods.contract.table  # noqa: F401 - what is judged with is there before anything foreign is
from benchmark.executors.work import one_line
from benchmark.sandbox import Send
from methods import contract, registry
from methods.contract import Finding


class Order(msgspec.Struct, frozen=True):
    """What to examine.

    ``source`` is what the registry is to load first, empty for what it knows; ``secrets`` are planted in the environment.
    """

    name: str
    source: str
    secrets: dict[str, str]
    skip: tuple[str, ...]


class Replaced(Exception):
    """Something of whoever judges is not what it was; the message names it."""


def examine(argument: bytes, send: Send) -> None:
    """Sends findings: ``import``, those of the contract, ``globals`` and ``report``; ``report`` at once where it fails.

    What judges is looked at after every check: whoever replaces it for one check alone, in that check, is not seen.
    """
    order = msgspec.msgpack.decode(argument, type=Order)
    encode = msgspec.msgpack.encode
    look = runpy.run_module("benchmark.fingerprint")  # apart: what the submission can import is another
    fingerprint, differences = look["fingerprint"], look["differences"]

    def tell(check: str, wrong: str, started: float = 0.0) -> None:
        seconds = time.perf_counter() - started if started else 0.0
        send(encode({"check": check, "status": "failed" if wrong else "passed", "message": wrong, "seconds": seconds}))

    def report(finding: Finding) -> None:
        if finding.status != "skipped":
            unchanged()
        send(encode(finding))

    def unchanged() -> None:
        if replaced := differences(before, fingerprint())[:4]:
            raise Replaced(f"replaces functions or constants of others: {', '.join(replaced)}")

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
        tell("import", one_line(error), start)
        return
    tell("import", "", start)
    changed = [*differences(state, globals_()), *differences(streams, generators())]
    try:
        unchanged()
        if not changed:
            contract.examine(order.name, report, order.skip)
            changed = differences(state, globals_())
    except Replaced as error:
        tell("report", str(error))
        tell("globals", "")
        return
    tell("globals", f"changes {', '.join(changed)} of the whole program" if changed else "")
    tell("report", "")


def imported(name: str) -> None:
    """Runs the module of a method, or of an object to adapt; a class that was defined in this session has run already."""
    source = registry.find(name)
    if source is not None:
        module = source.run()
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
