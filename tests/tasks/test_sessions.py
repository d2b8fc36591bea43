"""The contract that every problem's session keeps, whatever the problem."""

import math
from itertools import combinations

import hub_copies
import numpy as np
import pytest
import torch

import tasks
from tasks.base import Session
from tasks.hub import HubProblem

SLOW = {"celeba", "lol", "nyuv2", "nyuv2_segnet", "cityscapes", "cityscapes_segnet"}
"""Forty heads, images of 400 x 600, or a SegNet take seconds a step: test_hub_problems.py, test_lol.py and test_segnets.py."""
NAMES = [name for name in tasks.problems() if name not in SLOW]


def where(name: str) -> tasks.Locations | None:
    """Tiny copies of what does not ship."""
    return hub_copies.where() if isinstance(tasks.problem(name), HubProblem) else None


def opened(name: str, seed: int = 0, batch_size: int = 16) -> Session:
    return tasks.problem(name).open(seed, batch_size, where=where(name))


def same(left: object, right: object) -> bool:
    if left is None or right is None:
        return left is right
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))  # type: ignore[call-overload]


def weights(session: Session) -> list[torch.Tensor]:
    return list(session.model.state_dict().values())


def train(session: Session, steps: int, first: int = 0) -> None:
    optimizer = torch.optim.Adam(session.model.parameters(), lr=1e-3)
    for step in range(first, first + steps):
        losses, _ = session.losses(session.batch(step))
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", list(tasks.problems()))
def test_card(name: str) -> None:
    card = tasks.problem(name).card
    assert card.name == name
    assert card.summary
    assert card.source
    assert card.licence
    assert min(card.version, card.steps, card.batch_size) >= 1
    assert card.learning_rate > 0
    assert len(card.tasks) >= 2
    assert len({task.name for task in card.tasks}) == len(card.tasks)
    assert all(not metric.compared for metric in card.extra_metrics)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_is_bit_identical_whatever_the_global_random_state(name: str) -> None:
    torch.manual_seed(1)
    left = opened(name)
    torch.manual_seed(2)
    right = opened(name)
    assert same(weights(left), weights(right))
    assert all(same(left.batch(step), right.batch(step)) for step in range(5))
    assert repr(left.initial_losses + left.prior_losses) == repr(right.initial_losses + right.prior_losses)  # nan equals nan
    train(left, 3)
    train(right, 3)
    assert same(weights(left), weights(right))
    assert left.evaluate("test") == right.evaluate("test")


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ(name: str) -> None:
    for left, right in combinations([opened(name, seed) for seed in (0, 1, 2, 100, 101)], 2):
        assert not same(weights(left), weights(right))
        if left.batch(0) is not None:
            assert not same(left.batch(0), right.batch(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_depends_on_the_step_alone(name: str) -> None:
    straight, jumping = opened(name), opened(name)
    far = 10_000
    expected = {step: straight.batch(step) for step in (0, 1, far)}
    train(jumping, 2, first=7)
    for step in (far, 1, 0):
        assert same(jumping.batch(step), expected[step])


@pytest.mark.parametrize("name", NAMES)
def test_streams_are_seeded_and_do_not_disturb_one_another(name: str) -> None:
    straight, woven = opened(name), opened(name)
    expected = {(step, stream): straight.batch(step, stream) for stream in (0, 1, 2) for step in (0, 1, 10_000)}
    for step in (10_000, 0, 1):
        for stream in (2, 0, 1):
            assert same(woven.batch(step, stream), expected[step, stream])
    assert same(opened(name).batch(0), expected[0, 0])  # stream 0 unless said otherwise
    if straight.batch(0) is not None:
        assert not any(same(expected[0, one], expected[0, two]) for one, two in [(0, 1), (0, 2), (1, 2)])
        assert not same(opened(name, seed=1).batch(0, 1), expected[0, 1])


def global_random_state() -> list[object]:
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy global state is what must stay untouched
    return [torch.get_rng_state().tolist(), numpy_state[1].tolist(), numpy_state[2]]


@pytest.mark.parametrize("name", NAMES)
def test_global_random_state_is_untouched(name: str) -> None:
    before = global_random_state()
    session = opened(name)
    session.batch(0)
    session.evaluate("validation")
    tasks.problem(name).fingerprint(where(name))
    assert global_random_state() == before


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_separate_scalars_over_the_shared_parameters(name: str) -> None:
    session, count = opened(name), len(tasks.problem(name).card.tasks)
    losses, representation = session.losses(session.batch(0))
    assert len(losses) == len(session.initial_losses) == len(session.prior_losses) == count
    assert all(loss.shape == () and loss.dtype == torch.float32 for loss in losses)
    shared = list(session.shared())
    identities = [id(parameter) for parameter in session.model.parameters()]
    assert {id(parameter) for parameter in session.last_layer()} <= {id(parameter) for parameter in shared} <= set(identities)
    for loss in losses:
        gradients = torch.autograd.grad(loss, shared, retain_graph=True)
        assert any(gradient.abs().sum() > 0 for gradient in gradients)
    if representation is not None:
        assert representation.requires_grad
        assert all(torch.autograd.grad(loss, representation, retain_graph=True)[0].shape == representation.shape for loss in losses)
        private = [parameter for parameter in session.model.parameters() if id(parameter) not in {id(one) for one in shared}]
        for index, loss in enumerate(losses if private else []):  # each head is read by its own loss alone; one image has no heads
            reached = [g is not None for g in torch.autograd.grad(loss, private, retain_graph=True, allow_unused=True)]
            assert reached == [i * count // len(private) == index for i in range(len(private))]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_is_complete_legal_and_repeatable(name: str, split: tasks.Split) -> None:
    session, declared = opened(name), tasks.problem(name).card.metrics()
    train(session, 2)
    session.model.train()
    state = [tensor.clone() for tensor in weights(session)]
    first = session.evaluate(split)
    session.evaluate("validation" if split == "test" else "test")  # nothing accumulates from one evaluation to another
    assert session.evaluate(split) == first
    assert list(first.metrics) == list(declared)
    assert all(declared[key].low <= value <= declared[key].high for key, value in first.metrics.items())
    assert all(type(value) is float for value in (*first.losses, *first.metrics.values()))
    assert all(module.training for module in session.model.modules())
    assert same(weights(session), state)
    assert len(first.losses) == len(session.initial_losses)
    assert all(map(math.isfinite, first.losses))


def test_fingerprints_tell_problems_apart_and_repeat() -> None:
    prints = [tasks.problem(name).fingerprint(where(name)) for name in NAMES]
    assert len(set(prints)) == len(NAMES)
    assert all(len(one) == 20 for one in prints)
    assert prints == [tasks.problem(name).fingerprint(where(name)) for name in NAMES]


def test_derived_seeds_are_spread() -> None:
    seeds = {tasks.derive(seed, "a", label) for seed in range(50) for label in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert tasks.derive(0, "a", 1) == tasks.derive(0, "a", "1") != tasks.derive(0, "a1")
