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
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tasks
from tasks.base import Session
from tasks.inmemory import InMemoryProblem
from tasks.locations import Locations
from tasks.memory import MemorySession

EMBEDDED = [name for name, problem in tasks.problems().items() if problem.embedded]
WITH_ROWS = [name for name in EMBEDDED if isinstance(tasks.problem(name), InMemoryProblem)]
ALL = 10**9  # a batch size above the training set: all of it
SOME = 512  # rows are enough to see the same losses

# Where the theory is stated (not nan), a zero output must cost the initial loss and the best constant the prior.
TOLERANCE = 0.01


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
    count = len(problem.arrays(Locations()).inputs)
    cuts = [problem.indices(count, seed) for seed in (0, 1)]
    for cut in cuts:
        parts = [set(part.tolist()) for part in (cut.train, cut.validation, cut.test)]
        assert all(parts)
        assert [len(part) for part in parts] == [len(cut.train), len(cut.validation), len(cut.test)]
        assert not any(one & other for one, other in combinations(parts, 2))
        assert set().union(*parts) <= set(range(count))
        assert problem.card.rows in (None, tuple(map(len, parts)))
    assert np.array_equal(np.sort(cuts[0].test), np.sort(cuts[1].test))


@pytest.mark.parametrize("name", WITH_ROWS)
def test_no_example_is_in_two_splits(name: str) -> None:
    """By content: a row that the data has twice must not be learnt and then asked for."""
    problem = rows_of(name)
    arrays = problem.arrays(Locations())
    cut = problem.indices(len(arrays.inputs), 0)
    parts = [{arrays.inputs[row].tobytes() for row in part} for part in (cut.train, cut.validation, cut.test)]
    assert not any(one & other for one, other in combinations(parts, 2))


@pytest.mark.parametrize("name", EMBEDDED)
def test_fingerprints_are_the_same_in_another_process(name: str) -> None:
    code = "import sys, tasks; print(tasks.problem(sys.argv[1]).fingerprint())"
    ran = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True, timeout=300)
    assert ran.stdout.strip() == tasks.problem(name).fingerprint()


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


def constant_heads(session: Session) -> list[tuple[Tensor, Tensor]]:
    """Sets every head's last layer to 0, so that its outputs are its biases; the bias and its row count of weights, head by head."""
    net = getattr(session, "net", None)
    assert net is not None, "no network with heads"
    found = []
    for head in net.heads:
        last = [module for module in head.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        found.append((last.weight, last.bias))
    return found


@pytest.mark.parametrize("name", WITH_ROWS)
def test_a_zero_output_costs_the_initial_loss(name: str) -> None:
    session = opened(name, batch_size=ALL)
    if all(map(math.isnan, session.initial_losses)):
        pytest.skip("no initial loss is defined")
    constant_heads(session)
    measured = losses_on_training_rows(session)
    for got, stated in zip(measured, session.initial_losses, strict=True):
        if not math.isnan(stated):
            assert got == pytest.approx(stated, rel=TOLERANCE)


@pytest.mark.parametrize("name", WITH_ROWS)
def test_the_best_constant_costs_the_prior_loss(name: str) -> None:
    """Found by descent on the biases of the heads, from the labels alone; it never gets below, and comes to within 1 %."""
    session = opened(name, batch_size=ALL)
    if all(map(math.isnan, session.prior_losses)):
        pytest.skip("no prior loss is defined")
    biases = [bias for _, bias in constant_heads(session)]
    best = torch.full((len(session.prior_losses),), math.inf)
    optimizer = torch.optim.LBFGS(biases, lr=1.0, max_iter=200, line_search_fn="strong_wolfe")
    scales = [prior if prior > 0 else 1.0 for prior in session.prior_losses]
    batch = session.batch(0)

    def closure() -> float:
        optimizer.zero_grad()
        losses, _ = session.losses(batch)
        total = torch.stack([loss / scale for loss, scale in zip(losses, scales, strict=True) if not math.isnan(scale)]).sum()
        total.backward()
        torch.minimum(best, torch.stack(losses).detach(), out=best)
        return float(total)

    optimizer.step(closure)
    for got, stated in zip(best.tolist(), session.prior_losses, strict=True):
        if not math.isnan(stated):
            assert got == pytest.approx(stated, rel=TOLERANCE)


def losses_on_training_rows(session: Session) -> list[float]:
    with torch.no_grad():
        losses, _ = session.losses(session.batch(0))
    return [loss.item() for loss in losses]
