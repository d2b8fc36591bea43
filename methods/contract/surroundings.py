"""What belongs to the whole program: the global random generators, dtype, threads, modes. A method uses none of it and changes none."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import methods
from methods.contract import linear
from methods.contract.inputs import show
from methods.contract.outcome import Broken
from methods.contract.state import create, draws, equal, run, sequence


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of the program, how it is read and how it is put back."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


THINGS = {
    "torch's random state": Thing(
        lambda: torch.get_rng_state().tolist(), lambda s: torch.set_rng_state(torch.tensor(s, dtype=torch.uint8))
    ),
    "numpy's random state": Thing(lambda: np.random.get_state(legacy=True), lambda state: np.random.set_state(state)),  # noqa: NPY002
    "Python's random state": Thing(random.getstate, random.setstate),
    "the default dtype": Thing(torch.get_default_dtype, torch.set_default_dtype),
    "the default device": Thing(torch.get_default_device, torch.set_default_device),
    "the number of threads": Thing(torch.get_num_threads, torch.set_num_threads),
    "the deterministic mode": Thing(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "the grad mode": Thing(torch.is_grad_enabled, lambda on: torch.set_grad_enabled(on)),
    "the anomaly mode": Thing(torch.is_anomaly_enabled, lambda on: torch.autograd.set_detect_anomaly(on)),
    "the matmul precision": Thing(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "numpy's handling of errors": Thing(np.geterr, lambda found: np.seterr(**found)),
    "the working directory": Thing(os.getcwd, os.chdir),
    "the environment": Thing(lambda: dict(os.environ), _environment),
}


def snapshot() -> dict[str, Any]:
    return {name: thing.read() for name, thing in THINGS.items()}


def changed(before: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    return [name for name, thing in THINGS.items() if repr(thing.read()) != repr(before[name])]


@contextmanager
def kept() -> Iterator[dict[str, Any]]:
    """Whatever happens inside, the program is afterwards what it was."""
    before = snapshot()
    try:
        yield before
    finally:
        for name in changed(before):
            THINGS[name].write(before[name])


def changes_nothing(name: str) -> None:
    with kept() as before:
        run(create(name), 0, 5)
        if found := changed(before):
            raise Broken(f"changes {', '.join(found)} of the whole program; draw from self.generator, and leave the rest as it is")


SEEDED: dict[str, Callable[[int], object]] = {"torch": torch.manual_seed, "numpy": np.random.seed, "Python": random.seed}


def draws_from_none(name: str) -> None:
    with kept():
        for seed in SEEDED.values():
            seed(1)
        expected = run(create(name), 0, 5)
        for whose, seed in SEEDED.items():
            for each in SEEDED.values():
                each(1)
            seed(2)
            equal(
                run(create(name), 0, 5),
                expected,
                f"with another seed of {whose}'s global generator (draw from self.generator, which is its own)",
            )


def whatever_dtype(name: str) -> None:
    with kept():
        torch.set_default_dtype(torch.float32)
        expected = run(create(name), 0, 5)
        torch.set_default_dtype(torch.float64)
        found = run(create(name), 0, 5)
    if not draws(name) and not linear.close(found, expected, 1e-3):  # what is drawn may be of that dtype
        raise Broken(f"with a default dtype of float64 the update is {show(found[0])}; expected {show(expected[0])}, as with float32")


def whatever_mode(name: str) -> None:
    """The same bits where gradients are off, as ``backward`` may be called, and in the deterministic mode."""
    expected = run(create(name), 0, 5)
    with kept():
        torch.use_deterministic_algorithms(True)
        equal(run(create(name), 0, 5), expected, "in torch's deterministic mode")
    equal(without_gradients(create(name)), expected, "called under torch.no_grad()")


def without_gradients(balancer: methods.Method) -> Tensor:
    """Updates ``[5, P]``, as ``state.run`` has them."""
    found = []
    for jacobian, values in sequence(0, 5):
        theta, losses = linear.losses_of(jacobian, values)
        with torch.no_grad():
            balancer.backward(losses, shared=[theta], evaluate=linear.evaluate(balancer, theta, jacobian, values))
        assert theta.grad is not None
        falls = (jacobian @ theta.grad) / values.abs().clamp_min(1e-8)
        linear.after_step(balancer, list(values * (1 - falls / (10 * falls.abs().max()))))
        found.append(theta.grad)
    return torch.stack(found)


def global_state(name: str) -> str:
    for check in (changes_nothing, draws_from_none, whatever_dtype, whatever_mode):
        check(name)
    return ""
