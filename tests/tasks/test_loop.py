"""A problem made of a training loop: what a seed varies, what is shared, and what is said of loops that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import tasks
from tasks import TaskError

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.one, self.two, self.unused = nn.Linear(8, 1), nn.Linear(8, 1), nn.Linear(8, 1)


def losses(model: Any, batch: Any) -> dict[str, Tensor]:
    (x,) = batch
    z = model.trunk(x)
    return {"one": (model.one(z) - 1).square().mean(), "two": (model.two(z) - x.sum(1, keepdim=True)).abs().mean()}


def loop(**given: Any) -> tasks.LoopProblem:
    data = DataLoader(TensorDataset(X), 16, shuffle=True)
    return tasks.from_loop(**{"model": Net, "losses": losses, "train": data, "validation": DataLoader(TensorDataset(X[:10]), 4), **given})


def test_the_card_says_what_the_first_batch_shows() -> None:
    card = loop(steps=7, learning_rate=0.1).card
    assert [task.name for task in card.tasks] == ["one", "two"]
    assert (card.steps, card.batch_size, card.learning_rate) == (7, 16, 0.1)
    assert list(card.metrics()) == ["one/loss", "two/loss"]


def test_what_more_than_one_loss_reaches_is_shared_and_finding_it_leaves_no_trace() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    session = loop().open(0, 16)
    assert torch.equal(torch.get_rng_state(), before)
    assert [id(p) for p in session.shared()] == [id(p) for p in session.model.trunk.parameters()]
    norm: Any = session.model.trunk[1]
    assert norm.num_batches_tracked == 0
    assert [tuple(p.shape) for p in session.last_layer()] == [(8, 4), (8,), (8,), (8,)]
    chosen = loop(shared=lambda model: model.trunk[0]).open(0, 16)
    assert len(chosen.shared()) == 2


def test_a_seed_has_its_own_weights_and_order_and_repeats_to_the_bit() -> None:
    problem = loop()
    a, again, b = problem.open(0, 16), problem.open(0, 16), problem.open(1, 16)
    assert torch.equal(a.model.trunk[0].weight, again.model.trunk[0].weight)
    assert not torch.equal(a.model.trunk[0].weight, b.model.trunk[0].weight)
    for step in range(5):
        assert torch.equal(a.batch(step)[0], again.batch(step)[0])
    assert not torch.equal(a.batch(0)[0], b.batch(0)[0])
    assert not torch.equal(a.batch(0)[0], a.batch(0, 1)[0])
    seen = torch.cat([a.batch(step)[0] for step in range(2)])
    assert len(seen.unique(dim=0)) == 32


def test_a_model_that_is_made_already_is_copied_and_the_card_says_what_that_means() -> None:
    model = Net()
    problem = loop(model=model)
    session = problem.open(3, 16)
    with torch.no_grad():
        next(iter(session.shared())).zero_()
    assert bool(next(model.parameters()).any())
    assert "same initial weights for every seed" in problem.card.model


def test_an_evaluation_is_the_mean_over_rows_in_eval_mode_and_changes_nothing() -> None:
    session = loop().open(0, 16)
    state = {name: value.clone() for name, value in session.model.state_dict().items()}
    found = session.evaluate("validation")
    session.model.eval()
    with torch.no_grad():
        whole = losses(session.model, [X[:10]])
    assert found.losses == pytest.approx([float(loss) for loss in whole.values()], rel=1e-5)
    session.model.train()
    session.evaluate("validation")
    assert session.model.training
    assert all(torch.equal(value, state[name]) for name, value in session.model.state_dict().items())
    with pytest.raises(TaskError, match=r"no test data.*from_loop\(test="):
        session.evaluate("test")


def test_the_fingerprint_is_that_of_the_data() -> None:
    assert loop().fingerprint() == loop().fingerprint()
    other = X.clone()
    other[0] += 1
    assert loop(train=DataLoader(TensorDataset(other), 16)).fingerprint() != loop().fingerprint()


def test_batches_may_come_as_a_list_and_losses_as_one() -> None:
    problem = loop(train=[[X[:8]], [X[8:20]]], losses=lambda model, batch: list(losses(model, batch).values()))
    assert [task.name for task in problem.card.tasks] == ["loss_0", "loss_1"]
    session = problem.open(0, problem.card.batch_size)
    assert {len(session.batch(step)[0]) for step in range(2)} == {8, 12}
    found, representation = session.losses(session.batch(0))
    assert len(found) == 2
    assert representation is None


def test_a_task_without_labels_in_the_first_batch_is_no_obstacle() -> None:
    def partly(model: Any, batch: Any) -> dict[str, Tensor]:
        return {**losses(model, batch), "third": X.mean()}

    session = loop(losses=partly).open(0, 16)
    assert len(session.shared()) == len(list(session.model.trunk.parameters()))


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        return iter(X)


def alone(model: Any, batch: Any) -> Any:
    return [losses(model, batch)["one"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": []}, "train is empty"),
        ({"train": 3}, "train is int; expected a DataLoader or a list of batches"),
        ({"train": DataLoader(Stream(), 4)}, "cannot be indexed"),
        ({"losses": None}, "expected a function losses"),
        ({"losses": alone}, "gives 1 loss; expected two or more"),
        ({"losses": lambda model, batch: losses(model, batch)["one"]}, "gives Tensor; expected a dict or list of scalars"),
        ({"losses": lambda model, batch: [model.one(model.trunk(batch[0]))] * 2}, r"'loss_0' is of shape \(16, 1\); expected a scalar"),
        (
            {"losses": lambda model, batch: {"a/b": model.one(batch[0]).mean(), "c": 1.0}, "model": lambda: None},
            "gives NoneType; expected a torch",
        ),
        ({"losses": lambda model, batch: losses(model, {"x": X})}, r"cannot be taken: .*\(test_loop.py, line \d+\)"),
        ({"losses": lambda model, batch: {"a": losses(model, batch)["one"], "b": X.mean()}}, "1 of 2 losses require a gradient"),
        ({"losses": torch.no_grad()(losses)}, "0 of 2 losses require a gradient; expected two or more"),
        ({"losses": lambda model, batch: {"a": 1.0, "b": 2.0}}, "'a' is of float; expected a scalar tensor"),
        ({"kinds": ["regression"]}, "1 kinds for 2 losses"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_a_loop_that_cannot_be_used_says_what_was_expected(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        loop(**given).open(0, 16).model.eval()


def test_losses_that_share_nothing_ask_for_a_trunk() -> None:
    def apart(model: Any, batch: Any) -> list[Tensor]:
        return [model.trunk(batch[0]).mean(), model.unused(torch.ones(1, 8)).mean()]

    with pytest.raises(TaskError, match="no parameter is reached by two losses"):
        loop(losses=apart).open(0, 16)
