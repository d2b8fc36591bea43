"""Advice on a problem of the user's own, from a training loop to an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.store import Store
from tests.e2e.conftest import Cli

EXAMPLE = Path(__file__).parents[2] / "scripts" / "examples" / "advise.py"

AGREEING = """
import torch
import tasks

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Linear(6, 8)
        self.one, self.two = torch.nn.Linear(8, 1), torch.nn.Linear(8, 1)

def losses(model, batch):
    x, y, noisy = batch
    z = torch.tanh(model.trunk(x))
    return [(model.one(z) - y).square().mean(), (model.two(z) - noisy).square().mean()]

g = torch.Generator().manual_seed(0)
x = torch.randn(600, 6, generator=g)
y = (x @ torch.randn(6, 1, generator=g)).tanh() + 0.1 * torch.randn(600, 1, generator=g)
noisy = y + 0.1 * torch.randn(600, 1, generator=g)
rows = lambda start, stop: torch.utils.data.TensorDataset(x[start:stop], y[start:stop], noisy[start:stop])
loader = lambda data: torch.utils.data.DataLoader(data, 50)
problem = tasks.from_loop(model=Net, losses=losses, train=loader(rows(0, 400)), validation=loader(rows(400, 600)), steps=150)
one = tasks.from_loop(model=Net, losses=lambda m, b: losses(m, b)[:1], train=loader(rows(0, 9)), validation=loader(rows(0, 9)))
longer = tasks.from_loop(model=Net, losses=losses, train=loader(rows(0, 400)), validation=loader(rows(400, 600)), steps=600)
nothing = 3
"""


APART = """
import runpy
import tasks

example = runpy.run_path(EXAMPLE)
problem = tasks.from_loop(model=example["Net"], losses=example["losses"], **example["data"], steps=200, learning_rate=3e-3)
"""


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """The example with shorter runs."""
    path = tmp_path / "apart.py"
    path.write_text(APART.replace("EXAMPLE", repr(str(EXAMPLE))), encoding="utf-8")
    return path


@pytest.fixture
def agreeing(tmp_path: Path) -> Path:
    path = tmp_path / "agreeing.py"
    path.write_text(AGREEING, encoding="utf-8")
    return path


def test_the_example_is_short() -> None:
    body = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(body) < 30


def test_losses_a_thousand_times_apart_want_a_balanced_method(cli: Cli, apart: Path, tmp_path: Path) -> None:
    """Regression and classification, one loss a thousand times the other: equal weights learn the first alone."""
    command = ("advise", "--problem", f"{apart}:problem", "--time", "90s", "--methods", "scale_invariant", "--jobs", 2)
    ran = cli(*command, "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    assert "Use scale_invariant" in ran.stdout, ran.stdout
    assert "better than with equal weights at their best rate" in " ".join(ran.stdout.split())
    assert "shared=model.trunk.parameters())" in ran.stdout
    assert "balancer = methods.create(" in ran.stdout
    before = len(Store(tmp_path / "results").scan().records)
    again = cli(*command, "--results", tmp_path / "results", "--json")
    assert len(Store(tmp_path / "results").scan().records) == before  # the same question runs nothing twice
    answer = json.loads(again.stdout)
    assert answer["verdict"]["use"] == "scale_invariant"
    assert answer["verdict"]["seeds"] >= 5
    assert {0.001, 0.003, 0.009} <= set(answer["tried"]["equal"])  # those around the user's own, and those around the best of them
    assert all(answer["rates"][name] in tried for name, tried in answer["tried"].items())


def test_where_nothing_helps_equal_weights_are_enough(cli: Cli, agreeing: Path, tmp_path: Path) -> None:
    ran = cli("advise", "--problem", f"{agreeing}:problem", "--time", "90s", "--methods", "dwa", "--results", tmp_path / "r")
    assert ran.returncode == 0, ran.stderr
    assert "Equal weights are enough" in ran.stdout, ran.stdout
    assert "sum(losses).backward()" in ran.stdout
    said = " ".join(ran.stdout.split())
    assert "3 learning rates x 1 seed x 50 steps, then 2 methods x 3 learning rates x 2 seeds x 150 steps" in said
    assert "then 2 methods x 10 seeds x 150 steps" in said


@pytest.mark.slow
@pytest.mark.parametrize("balanced", [True, False])
def test_all_methods_say_the_same(balanced: bool, cli: Cli, agreeing: Path, tmp_path: Path) -> None:
    problem = f"{EXAMPLE}:problem" if balanced else f"{agreeing}:longer"
    ran = cli("advise", "--problem", problem, "--time", "6m", "--results", tmp_path / "r")
    assert ran.returncode == 0, ran.stderr
    assert ("Equal weights are enough" in ran.stdout) != balanced, ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--problem", "{file}:missing"), "missing"),
        (("--problem", "{file}:nothing"), "nothing"),
        (("--problem", "{file}:one"), "gives 1 loss; expected two or more"),
        (("--problem", "no_such_module_at_all:problem"), "no_such_module_at_all"),
        (("--problem", "wnie"), "did you mean 'wine'"),
        (("--problem", "{file}:problem", "--time", "soon"), "--time is 'soon'; expected"),
        (("--problem", "{file}:problem", "--methods", "uncertanty"), "did you mean 'uncertainty'"),
        (("--problem", "{file}:problem", "--time", "0.1s", "--methods", "cagrad"), "give more --time"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_line(
    arguments: tuple[str, ...], said: str, cli: Cli, agreeing: Path, tmp_path: Path
) -> None:
    ran = cli("advise", *(word.format(file=agreeing) for word in arguments), "--results", tmp_path / "r")
    assert ran.returncode == 2, ran.stdout
    assert said in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
