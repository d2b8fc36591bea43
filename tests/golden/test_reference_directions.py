"""Directions of independent exact solvers and public codes, reproduced to 1e-6."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from methods.gradvac import vaccinated
from methods.pcgrad import surgery
from methods.solvers import frank_wolfe, min_norm
from tests import linear

REFERENCE = json.loads(Path(__file__).with_name("reference_directions.json").read_text())
ROWS = REFERENCE["rows"]
PCGRAD = [row for row in ROWS if "order" in row and row["method"] == "pcgrad"]
GRADVAC = [row for row in ROWS if "order" in row and row["method"] == "gradvac"]
OTHERS = [row for row in ROWS if "order" not in row]


def label(row: dict[str, Any]) -> str:
    return " ".join([row["matrix"], row["method"], *map(str, row["hyperparameters"].values()), row["source"][:40]])


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def matrix(name: str) -> torch.Tensor:
    return tensor(REFERENCE["matrices"][name])


def agree(actual: torch.Tensor, expected: list[float]) -> bool:
    return linear.close(actual, tensor(expected), 1e-6, scale=max(float(tensor(expected).norm()), 1e-3))


@pytest.mark.parametrize("row", OTHERS, ids=label)
def test_direction(row: dict[str, Any]) -> None:
    jacobian = matrix(row["matrix"])
    balancer = linear.create(row["method"], len(jacobian), scale=row.get("scale", "native"), kinds=None, **row["hyperparameters"])
    values = tensor(REFERENCE["losses"][row["matrix"]])
    direction, weights = linear.step(balancer, jacobian, values)
    assert agree(direction, row["direction"])
    if "weights" in row and weights is not None:
        assert agree(weights, row["weights"])


@pytest.mark.parametrize("row", GRADVAC, ids=label)
def test_gradvac_direction_for_given_orders(row: dict[str, Any]) -> None:
    """After so many calls on the same gradients."""
    jacobian = matrix(row["matrix"])
    rows = jacobian[[bool(gradient.any()) for gradient in jacobian]]
    order = np.array(row["order"]) if len(rows) == len(jacobian) else np.zeros((1, 0), dtype=int)
    phi = np.zeros((len(rows), len(rows)))
    for _ in range(row["calls"]):
        weights = vaccinated(linear.gramian(rows).numpy(), order, phi, row["hyperparameters"]["beta"])
    assert agree(torch.from_numpy(weights) @ rows, row["direction"])
    if "weights" in row:
        assert agree(torch.from_numpy(weights), row["weights"])
    if row["matrix"] in "ADEF":  # these do not depend on the order
        balancer = linear.create("gradvac", len(jacobian), **row["hyperparameters"])
        assert agree([linear.step(balancer, jacobian)[0] for _ in range(row["calls"])][-1], row["direction"])


@pytest.mark.parametrize("row", PCGRAD, ids=label)
def test_pcgrad_direction_for_given_orders(row: dict[str, Any]) -> None:
    jacobian = matrix(row["matrix"])
    tasks = range(len(jacobian))
    alive = [t for t in tasks if bool(jacobian[t].any())]
    if row["order"] == "every":  # the expectation over all orders, each task's own
        each = [list(itertools.permutations([j for j in tasks if j != i])) for i in tasks]
        orders = [torch.tensor(order) for order in itertools.product(*each)]
    elif len(alive) < len(jacobian):  # matrix F: the family hides a zero row from the method
        orders = [torch.zeros(len(alive), len(alive) - 1, dtype=torch.long)]
    else:
        orders = [torch.tensor(row["order"])]
    rows = jacobian[alive]
    mean = torch.stack([surgery(linear.gramian(rows), order) for order in orders]).mean(0)
    assert agree(mean @ rows, row["direction"])
    if row["matrix"] in "ADEF":  # these do not depend on the order
        assert agree(linear.direction("pcgrad", jacobian), row["direction"])


@pytest.mark.parametrize("name", ["A", "B", "D", "E", "F"])
def test_frank_wolfe_approaches_the_exact_point(name: str) -> None:
    jacobian = matrix(name)
    exact, near = (linear.direction("mgda", jacobian, solver=solver) for solver in ("exact", "frank_wolfe"))
    assert linear.close(near, exact, 2e-2, scale=max(exact.norm(), 1e-6))
    problem = linear.gramian(jacobian).numpy()
    closer = torch.from_numpy(frank_wolfe(problem, 20_000, 1e-9).weights) @ jacobian
    best = torch.from_numpy(min_norm(problem).weights) @ jacobian
    assert linear.close(closer, best, 1e-3, scale=max(best.norm(), 1e-6))


def test_scalarisers() -> None:
    expected = REFERENCE["scalarizers"]
    losses = tensor(expected["sum"]["losses"])
    jacobian = torch.eye(3, dtype=torch.float64)
    assert agree(linear.direction("equal", jacobian, losses, scale="sum"), expected["sum"]["grad_wrt_losses"])
    assert agree(linear.direction("equal", jacobian, losses), expected["mean"]["grad_wrt_losses"])
    assert agree(linear.direction("uncertainty", jacobian, losses), expected["uw"]["grad_wrt_losses"])
    balancer = linear.create("uncertainty", 3)
    balancer.log_variance.data = torch.tensor([-0.5, 0.0, 1.0])
    assert balancer.objective(losses).item() == pytest.approx(expected["uw_s"]["value"], rel=1e-6)
    assert agree(linear.step(balancer, jacobian, losses)[0], expected["uw_s"]["grad_wrt_losses"])


SCALARISERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gls": ("gls", {}),
    "imtl_l": ("imtl_l", {}),
    "stch": ("stch", {"form": "raw", "mu": 0.1}),
    "stch_mu1": ("stch", {"form": "raw", "mu": 1.0}),
    "cosmos": ("cosmos", {"preference": [0.2, 0.3, 0.5]}),
    "pbi": ("pbi", {"preference": [2, 3, 5]}),
}


@pytest.mark.parametrize("key", SCALARISERS)
def test_values_and_gradients_of_scalarisers(key: str) -> None:
    name, options = SCALARISERS[key]
    expected = REFERENCE["scalarizers"][key]
    losses = tensor(expected["losses"])
    assert linear.create(name, 3, **options).objective(losses).item() == pytest.approx(expected["value"], rel=1e-6)
    assert agree(linear.direction(name, torch.eye(3, dtype=torch.float64), losses, **options), expected["grad_wrt_losses"])


def test_dwa_after_two_epochs() -> None:
    expected = REFERENCE["scalarizers"]["dwa"]
    balancer, jacobian = linear.create("dwa", 3, window=1), torch.eye(3, dtype=torch.float64)
    for past in ([1.0, 2.0, 4.0], [0.5, 1.9, 4.4]):
        assert linear.step(balancer, jacobian, tensor(past))[1].tolist() == [1.0] * 3
    losses = tensor(expected["losses"])
    weights = linear.step(balancer, jacobian, losses)[1]
    assert agree(weights, expected["grad_wrt_losses"])
    assert (weights @ losses).item() == pytest.approx(expected["value"], rel=1e-6)


def test_famo_logits() -> None:
    first = REFERENCE["scalarizers"]["famo"]
    assert agree(linear.direction("famo", torch.eye(3, dtype=torch.float64), tensor(first["losses"])), first["grad_wrt_losses"])
    expected = REFERENCE["scalarizers"]["famo_logits_after_updates"]
    balancer = linear.create("famo", 3, lr=expected["lr"], gamma=expected["weight_decay"])
    sequence = [tensor(losses) for losses in expected["losses_sequence"]]
    for before, after, logits in zip(sequence, sequence[1:], expected["logits"], strict=False):
        balancer.backward(linear.losses_of(torch.eye(3, dtype=torch.float64), before)[1])
        balancer.after_step(list(after))
        assert agree(balancer.logits.double(), logits)
