"""What holds for every embedded problem, those included that are not written yet: data, losses, evaluation and a whole run.

Beside the contract of sessions (test_sessions.py) this is what a reader of the cards relies on.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import methods
import tasks
from tasks.base import Session
from tasks.inmemory import InMemoryProblem, SupervisedProblem
from tasks.locations import Locations
from tasks.memory import MemorySession

EMBEDDED = [name for name, problem in tasks.problems().items() if problem.embedded]
WITH_ROWS = [name for name in EMBEDDED if isinstance(tasks.problem(name), InMemoryProblem)]
SUPERVISED = [name for name in WITH_ROWS if isinstance(tasks.problem(name), SupervisedProblem)]  # images: test_rooms.py, test_lowlight.py
ALL = 10**9  # a batch size above the training set: all of it
TOLERANCE = 0.01  # of the initial and the prior loss, where a problem states them (not nan)


@cache
def card(name: str) -> tasks.ProblemCard:
    return tasks.problem(name).card


def opened(name: str, seed: int = 0, batch_size: int | None = None) -> Session:
    return tasks.problem(name).open(seed, batch_size or card(name).batch_size)


def rows_of(name: str) -> InMemoryProblem:
    found = tasks.problem(name)
    assert isinstance(found, InMemoryProblem)
    return found


# --- data --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_ROWS)
def test_splits_are_disjoint_and_none_is_empty(name: str) -> None:
    problem = rows_of(name)
    arrays = problem.arrays(Locations())
    cuts = [problem.cut(arrays, seed) for seed in (0, 1)]
    for cut in cuts:
        parts = [set(part.tolist()) for part in (cut.train, cut.validation, cut.test)]
        assert all(parts)
        assert [len(part) for part in parts] == [len(cut.train), len(cut.validation), len(cut.test)]
        assert not any(one & other for one, other in combinations(parts, 2))
        assert set().union(*parts) <= set(range(len(arrays.inputs)))
        assert problem.card.rows in (None, tuple(map(len, parts)))
    assert np.array_equal(np.sort(cuts[0].test), np.sort(cuts[1].test))


@pytest.mark.parametrize("name", WITH_ROWS)
def test_no_example_is_in_two_splits(name: str) -> None:
    """By content: a row that the data has twice must not be learnt and then asked for."""
    problem = rows_of(name)
    arrays = problem.arrays(Locations())
    cut = problem.cut(arrays, 0)
    parts = [{arrays.inputs[row].tobytes() for row in part} for part in (cut.train, cut.validation, cut.test)]
    assert not any(one & other for one, other in combinations(parts, 2))


@cache
def fingerprints_elsewhere() -> dict[str, str]:
    """Of every embedded problem, in another process."""
    code = "import json, sys, tasks; print(json.dumps({name: tasks.problem(name).fingerprint() for name in sys.argv[1:]}))"
    ran = subprocess.run([sys.executable, "-c", code, *EMBEDDED], capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, str] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("name", EMBEDDED)
def test_fingerprints_are_the_same_in_another_process(name: str) -> None:
    assert fingerprints_elsewhere()[name] == tasks.problem(name).fingerprint()


@pytest.mark.parametrize("name", list(tasks.problems()))
def test_cards_are_data(name: str) -> None:
    """What is on a card can be written down, and is what it was when it is read again; nan and inf aside, which JSON lacks."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    written = plain(asdict(card(name)))
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    for metric in card(name).metrics().values():
        assert metric.low < metric.high


# --- losses ------------------------------------------------------------------------------------------------------------------------------


def on_all_rows(name: str) -> tuple[MemorySession, Any, Any]:
    """A session, all its training rows as one batch, and its network's outputs on two of them."""
    session = opened(name, batch_size=ALL)
    assert isinstance(session, MemorySession)
    batch = session.batch(0)
    with torch.no_grad():
        outputs, _ = session.net(batch[0][:2])
    return session, batch, outputs


def constants(outputs: Any, value: float) -> list[Tensor]:
    """One number an output channel, ``[1, C, 1, ...]`` for each output ``[B, C, ...]``."""
    listed = [outputs] if isinstance(outputs, Tensor) else outputs
    return [torch.full((1, each.shape[1], *[1] * (each.ndim - 2)), value, requires_grad=True) for each in listed]


def spread(values: list[Tensor], outputs: Any, count: int) -> Any:
    """Those numbers as the outputs for ``count`` rows, in the form in which the network gives them."""
    listed = [outputs] if isinstance(outputs, Tensor) else outputs
    wide = [value.expand(count, *each.shape[1:]) for value, each in zip(values, listed, strict=True)]
    return wide[0] if isinstance(outputs, Tensor) else wide


@pytest.mark.parametrize("name", WITH_ROWS)
def test_a_zero_output_costs_the_initial_loss(name: str) -> None:
    session, batch, outputs = on_all_rows(name)
    with torch.no_grad():
        measured = session.criteria(spread(constants(outputs, 0.0), outputs, len(batch[0])), batch)
    for got, stated in zip(measured, session.initial_losses, strict=True):
        assert math.isnan(stated) or got.item() == pytest.approx(stated, rel=TOLERANCE, abs=1e-7)


@pytest.mark.parametrize("name", SUPERVISED)
def test_the_best_constant_costs_the_prior_loss(name: str) -> None:
    """Each loss by its own constants, found by descent; nothing that is tried gets below the stated one."""
    session, batch, outputs = on_all_rows(name)
    for index, stated in enumerate(session.prior_losses):
        if math.isnan(stated):
            continue
        best = min(descended(session, batch, outputs, index, start) for start in (0.1, 0.5))
        assert best == pytest.approx(stated, rel=TOLERANCE, abs=1e-7)


def descended(session: MemorySession, batch: Any, outputs: Any, index: int, start: float) -> float:
    """The lowest value of one loss that L-BFGS sees from constants that all are ``start``."""
    values, seen = constants(outputs, start), [math.inf]
    optimizer = torch.optim.LBFGS(values, max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = session.criteria(spread(values, outputs, len(batch[0])), batch)[index]
        loss.backward()
        seen.append(loss.item())
        return loss.item()

    optimizer.step(closure)
    return min(filter(math.isfinite, seen))


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_task_has_a_finite_gradient_of_its_own(name: str) -> None:
    session = opened(name)
    losses, _ = session.losses(session.batch(0))
    assert len({id(loss) for loss in losses}) == len(losses) == len(card(name).tasks)
    shared = list(session.shared())
    for loss in losses:
        assert loss.ndim == 0
        gradients = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients)
        assert any(gradient is not None for gradient in gradients)


# --- training -------------------------------------------------------------------------------------------------------------


def trained(name: str, method: str, steps: int) -> tuple[Session, list[bytes], list[Tensor]]:
    """A session after some steps of a method, the bytes of the batches that it saw, and its first gradients of the shared parameters."""
    session, tasks_ = opened(name), card(name).tasks
    balancer = methods.create(method, len(tasks_), kinds=[task.kind for task in tasks_])
    optimizer = torch.optim.Adam(session.model.parameters(), lr=card(name).learning_rate)
    seen, first = [], list[Tensor]()
    for step in range(steps):
        batch = session.batch(step)
        seen.append(b"".join(each.numpy().tobytes() for each in batch or ()))
        losses, z = session.losses(batch)
        balancer.backward(losses, shared=session.shared(), representation=z, last_layer=session.last_layer())
        first = first or [parameter.grad.clone() for parameter in session.shared() if parameter.grad is not None]
        optimizer.step()
        optimizer.zero_grad()
    return session, seen, first


@pytest.mark.parametrize("name", EMBEDDED)
def test_methods_see_the_same_batches_and_a_run_repeats(name: str) -> None:
    one, other, again = (trained(name, method, 3) for method in ("equal", "mgda", "equal"))
    assert one[1] == other[1] == again[1]
    assert not all(map(torch.equal, one[2], other[2]))
    assert all(map(torch.equal, one[2], again[2]))
    states = [session.model.state_dict() for session, _, _ in (one, again)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_run_under_equal_weights_beats_the_best_constant(name: str) -> None:
    """By the mean over the tasks of validation loss / prior loss, as runs are selected; where a problem has no priors, by its losses."""
    session = opened(name)
    priors = [prior if prior > 0 else 1.0 for prior in session.prior_losses]  # nan is not above 0

    def score() -> float:
        return sum(loss / prior for loss, prior in zip(session.evaluate("validation").losses, priors, strict=True)) / len(priors)

    untrained = score()
    optimizer = torch.optim.Adam(session.model.parameters(), lr=card(name).learning_rate, fused=True)
    best = untrained
    for step in range(card(name).steps):
        losses, _ = session.losses(session.batch(step))
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
        if step % (card(name).steps // 10) == 0:
            best = min(best, score())
    best = min(best, score())
    assert best < untrained
    assert best < 1 or any(map(math.isnan, session.prior_losses))
