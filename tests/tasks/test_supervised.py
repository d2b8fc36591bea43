"""Problems in memory: splits, standardisation, label statistics, losses and metrics against plain numpy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import tasks
from tasks import memory
from tasks.digits import ink, slant
from tasks.gradnorm_toy import GradNormToy
from tasks.inmemory import Arrays, SupervisedProblem, split
from tasks.locations import Locations
from tasks.memory import Held
from tasks.models import MultiTaskNet
from tasks.supervised import Standardiser, SupervisedSession
from tasks.wine import Wine

ALL = 10**9  # a batch size above the training set: all of it
NAMES = ["digits", "wine", "diabetes", "gradnorm_toy"]


def known(name: str) -> SupervisedProblem:
    problem = tasks.problem(name)
    assert isinstance(problem, SupervisedProblem)
    return problem


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_disjoint_and_cover_everything(name: str) -> None:
    problem = known(name)
    rows = len(problem.arrays(Locations()).inputs)
    seeds = [split(problem.card, rows, problem.validation_rows, problem.test_rows, seed) for seed in range(3)]
    for cut in seeds:
        assert sorted(np.concatenate([cut.train, cut.validation, cut.test]).tolist()) == list(range(rows))
        assert (len(cut.validation), len(cut.test)) == (problem.validation_rows, problem.test_rows)
        assert np.array_equal(cut.test, seeds[0].test)
    assert not np.array_equal(np.sort(seeds[0].validation), np.sort(seeds[1].validation))


def test_an_epoch_visits_every_row_once_and_drops_the_ragged_batch() -> None:
    problem = known("wine")
    whole = problem.open(0, ALL).batch(0)[0]
    size = 32
    per_epoch = len(whole) // size
    assert len(whole) % size
    session = problem.open(0, size)
    for epoch in range(2):
        seen = torch.cat([session.batch(epoch * per_epoch + i)[0] for i in range(per_epoch)])
        assert len(torch.unique(seen, dim=0)) == len(seen) == per_epoch * size
    assert not torch.equal(session.batch(0)[0], session.batch(per_epoch)[0])
    assert len(whole) == len(problem.arrays(Locations()).inputs) - problem.validation_rows - problem.test_rows
    assert torch.equal(torch.unique(whole, dim=0), torch.unique(problem.open(0, ALL).batch(1)[0], dim=0))


def numbered(name: str, seed: int, size: int) -> SupervisedSession:
    """A session whose training inputs are the numbers of their rows."""
    session = known(name).open(seed, size)
    assert isinstance(session, SupervisedSession)
    assert isinstance(session._train, Held)
    session._train = Held((torch.arange(session._rows), *session._train.rows[1:]))
    return session


def test_the_order_of_training_is_the_published_one() -> None:
    """Records of before depend on it: the permutation of (seed, problem, "order", epoch), whatever streams there are beside it."""
    session = numbered("wine", 3, 16)
    session.batch(0, 1)
    for step in (0, 4, 9):
        epoch, index = divmod(step, session._batches)
        order = np.random.default_rng(tasks.derive(3, "wine", "order", epoch)).permutation(session._rows)
        assert session.batch(step)[0].tolist() == order[16 * index : 16 * (index + 1)].tolist()


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_further_streams_visit_the_training_rows_independently(name: str) -> None:
    size = 16
    session = numbered(name, 0, size)
    per_epoch, rows = session._batches, session._rows
    for stream in (1, 2):
        seen = [row for step in range(per_epoch) for row in session.batch(step, stream)[0].tolist()]
        assert len(set(seen)) == len(seen) == per_epoch * size  # every training row at most once an epoch, and no other row
    steps = 600
    common = [len(set(session.batch(s)[0].tolist()) & set(session.batch(s, 1)[0].tolist())) for s in range(steps)]
    expected = size * size / rows  # of two independent draws
    spread = (expected * (1 - size / rows) * (rows - size) / (rows - 1) / steps) ** 0.5
    assert np.mean(common) == pytest.approx(expected, abs=4 * spread)


@pytest.mark.parametrize("name", NAMES)
def test_initial_losses_are_those_of_a_zero_output(name: str) -> None:
    session = known(name).open(0, ALL)
    assert isinstance(session, SupervisedSession)
    for parameter in session.net.heads.parameters():
        nn.init.zeros_(parameter)
    losses, _ = session.losses(session.batch(0))
    assert [loss.item() for loss in losses] == pytest.approx(session.initial_losses, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_prior_losses_are_those_of_the_best_constant(name: str) -> None:
    problem = known(name)
    session = problem.open(0, ALL)
    assert isinstance(session, SupervisedSession)
    _, *targets = session.batch(0)
    for task, head, target in zip(problem.card.tasks, session.net.heads, targets, strict=True):
        nn.init.zeros_(head.weight)
        if task.kind == "classification":
            best = torch.bincount(target, minlength=head.out_features).double().div(len(target)).log()
        else:
            best = target.double().mean(0)
        head.bias.data.copy_(best)
    losses, _ = session.losses(session.batch(0))
    assert [loss.item() for loss in losses] == pytest.approx(session.prior_losses, rel=1e-4)
    assert all(prior <= initial for prior, initial in zip(session.prior_losses, session.initial_losses, strict=True))
    for parameter in session.net.heads.parameters():  # nothing near it is better
        parameter.data.add_(0.05 * parameter.data.abs().max())
    worse, _ = session.losses(session.batch(0))
    assert all(loss.item() > prior for loss, prior in zip(worse[1:], session.prior_losses[1:], strict=True))


def test_nothing_is_taken_from_held_out_rows() -> None:
    class Altered(Wine):
        def arrays(self, where: Locations) -> Arrays:
            original = super().arrays(where)
            cut = split(self.card, len(original.inputs), self.validation_rows, self.test_rows, seed=0)
            held_out = np.concatenate([cut.validation, cut.test])
            inputs, *targets = (array.copy() for array in (original.inputs, *original.targets))
            inputs[held_out] *= 100
            targets[0][held_out] = 0
            for target in targets[1:]:
                target[held_out] += 1000
            return Arrays(inputs, tuple(targets))

    plain, altered = Wine().open(0, 32), Altered().open(0, 32)
    assert (plain.initial_losses, plain.prior_losses) == (altered.initial_losses, altered.prior_losses)
    assert all(torch.equal(a, b) for a, b in zip(plain.batch(3), altered.batch(3), strict=True))
    assert plain.evaluate("test") != altered.evaluate("test")
    assert Wine().fingerprint() != Altered().fingerprint()


@pytest.mark.parametrize("shape", [(50, 3), (50, 2, 4, 4)])
def test_standardised_training_inputs(shape: tuple[int, ...]) -> None:
    inputs = np.random.default_rng(0).normal(5, 3, shape).astype(np.float32)
    inputs[:, 0] = 7  # a constant column is only centred
    scaled = Standardiser(inputs[:40])(inputs)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    assert scaled[:40].mean(axes) == pytest.approx(0, abs=1e-5)
    assert scaled[:40].std(axes)[1:] == pytest.approx(1, abs=1e-5)
    assert (scaled[:, 0] == 0).all()
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ["validation", "test"])
@pytest.mark.parametrize("chunk", [8192, 100])
def test_evaluation_equals_numpy(monkeypatch: pytest.MonkeyPatch, name: str, which: tasks.Split, chunk: int) -> None:
    monkeypatch.setattr(SupervisedSession, "chunk", chunk)
    problem = known(name)
    session = problem.open(3, 64)
    assert isinstance(session, SupervisedSession)
    arrays = problem.arrays(Locations())
    cut = split(problem.card, len(arrays.inputs), problem.validation_rows, problem.test_rows, 3)
    rows = getattr(cut, which)
    training = arrays.inputs[cut.train].astype(np.float64)
    axes = tuple(axis for axis in range(training.ndim) if axis != 1)
    x = (arrays.inputs[rows] - training.mean(axes, keepdims=True)) / training.std(axes, keepdims=True)
    z = x.reshape(len(x), -1)
    for layer in session.net.trunk:
        if isinstance(layer, nn.Linear):
            z = np.maximum(z @ layer.weight.detach().numpy().T.astype(np.float64) + layer.bias.detach().numpy(), 0)

    losses, metrics = [], {}
    for task, head, target in zip(problem.card.tasks, session.net.heads, arrays.targets, strict=True):
        output, y = z @ head.weight.detach().numpy().T + head.bias.detach().numpy(), target[rows]
        if task.kind == "classification":
            log_sum = np.log(np.exp(output - output.max(1, keepdims=True)).sum(1)) + output.max(1)
            losses.append(float(np.mean(log_sum - output[np.arange(len(y)), y])))
            metrics[f"{task.name}/accuracy"] = float(np.mean(output.argmax(1) == y))
        else:
            losses.append(float(np.mean((output - y) ** 2)))
            metric = task.metrics[0].name
            metrics[f"{task.name}/{metric}"] = losses[-1] if metric == "mse" else math.sqrt(losses[-1])
    if problem.card.extra_metrics:
        metrics["task_normalised_loss"] = sum(a / b for a, b in zip(losses, session.initial_losses, strict=True)) / len(losses)
    result = session.evaluate(which)
    assert result.losses == pytest.approx(losses, rel=1e-4)
    assert result.metrics == pytest.approx(metrics, rel=1e-4)


class Fragile(Wine):
    """A network that training mode, the random state and the running statistics all change."""

    def network(self) -> MultiTaskNet:
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(11, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.BatchNorm1d(8))
        return MultiTaskNet(trunk, [nn.Linear(8, size) for size in self.outputs])


def test_evaluation_leaves_modes_statistics_and_random_state_alone() -> None:
    session = Fragile().open(0, 32)
    assert isinstance(session, SupervisedSession)
    session.losses(session.batch(0))
    frozen = session.net.trunk[2]
    frozen.eval()
    state = {key: value.clone() for key, value in session.model.state_dict().items()}
    random = torch.get_rng_state()
    modes = [module.training for module in session.model.modules()]
    assert session.evaluate("validation") == session.evaluate("validation")  # no dropout, no batch statistics
    assert [module.training for module in session.model.modules()] == modes
    assert not frozen.training
    assert all(torch.equal(value, state[key]) for key, value in session.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [id(p) for p in session.last_layer()] == [id(p) for p in session.net.trunk[4].parameters()]


def test_modes_are_restored_after_an_error() -> None:
    session = Fragile().open(0, 32)
    with pytest.raises(RuntimeError), memory.evaluating(session.model):
        raise RuntimeError
    assert all(module.training for module in session.model.modules())


def test_no_evaluation_remembers_another() -> None:
    """Of the same model on the same split all are equal, whatever was evaluated or trained on in between."""
    session = known("digits").open(0, 64)
    first = {which: session.evaluate(which) for which in ("validation", "test")}
    for step, which in enumerate(("test", "validation", "validation", "test")):
        session.losses(session.batch(step))
        assert session.evaluate(which) == first[which]  # type: ignore[arg-type,index]
    fresh = known("digits").open(0, 64)
    assert fresh.evaluate("test") == first["test"]


def test_evaluation_builds_no_graph() -> None:
    session = known("wine").open(0, 32)
    session.evaluate("validation")
    assert all(parameter.grad is None for parameter in session.model.parameters())


def test_digit_labels() -> None:
    page = np.zeros((4, 8, 8))
    page[0, 2:6, 3] = 1  # upright bar
    for row in range(8):
        page[1, row, 7 - row] = 0.5  # leans right: one pixel right a pixel up
        page[2, row, row] = 1  # leans left
        page[3, row, 2:5] = 1
    assert ink(page) == pytest.approx([4, 4, 8, 24])
    assert slant(page) == pytest.approx([0, 1, -1, 0], abs=1e-12)
    sheared = np.zeros((1, 8, 8))
    for row in range(0, 8, 2):
        sheared[0, row, 6 - row // 2] = 1  # half a pixel right a pixel up
    assert slant(sheared) == pytest.approx([0.5])


def test_digits_and_wine_are_the_published_sets() -> None:
    digits, wine = known("digits").arrays(Locations()), known("wine").arrays(Locations())
    assert digits.inputs.shape == (1797, 1, 8, 8)
    assert digits.inputs.min() == 0
    assert digits.inputs.max() == 1
    assert np.bincount(digits.targets[0]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.targets[1][:, 0] == pytest.approx(digits.inputs.sum((1, 2, 3)), rel=1e-6)
    assert wine.inputs.shape == (178, 11)
    assert np.bincount(wine.targets[0]).tolist() == [59, 71, 48]
    # the summary of UCI's wine.names: mean of colour intensity 5.1, of hue 0.96
    assert wine.targets[1].mean() == pytest.approx(5.058, abs=1e-3)
    assert wine.targets[2].mean() == pytest.approx(0.957, abs=1e-3)


def test_diabetes_is_the_published_set() -> None:
    arrays = known("diabetes").arrays(Locations())
    progression, sex, cholesterol = arrays.targets
    assert arrays.inputs.shape == (442, 8)
    assert (progression.min(), progression.max()) == (25, 346)
    assert progression.mean() == pytest.approx(152.13, abs=0.01)  # the figure that regressions of this set print as their intercept
    assert np.bincount(sex).tolist() == [235, 207]
    total, hdl = arrays.inputs[:, 3], arrays.inputs[:, 5]
    assert np.sqrt(np.mean((cholesterol[:, 0] - total / hdl) ** 2)) < 0.3  # most are rounded to whole numbers
    assert cholesterol.std() > 1.2


def test_gradnorm_toy_is_its_formula() -> None:
    arrays = known("gradnorm_toy").arrays(Locations())
    assert arrays.inputs.shape == (12_000, 250)
    assert [target.shape for target in arrays.targets] == [(12_000, 100)] * 2
    assert arrays.inputs.min() >= 0
    assert arrays.inputs.max() <= 1
    assert np.abs(arrays.targets[0]).max() <= 1
    assert 99 < np.abs(arrays.targets[1]).max() <= 100
    agree = np.mean(np.sign(arrays.targets[0]) == np.sign(arrays.targets[1]))
    assert 0.75 < agree < 0.95  # B is shared, eps is not
    assert np.mean(np.abs(arrays.targets[0]) > 0.99) > 0.9  # saturated, as published
    renamed = GradNormToy("other", sigmas=(1.0, 10.0), steps=1)
    assert renamed.fingerprint() != tasks.problem("gradnorm_toy").fingerprint()
    assert known("gradnorm_toy").arrays(Locations()) is arrays  # once a process


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_a_short_run_learns_every_task(name: str) -> None:
    problem = known(name)
    session = problem.open(0, 64)
    scale = [1 / prior for prior in session.prior_losses]
    optimizer = torch.optim.Adam(session.model.parameters(), lr=3e-3)
    for step in range(300):
        losses, _ = session.losses(session.batch(step))
        optimizer.zero_grad()
        torch.stack([weight * loss for weight, loss in zip(scale, losses, strict=True)]).sum().backward()
        optimizer.step()
    losses, _ = session.losses(problem.open(0, ALL).batch(0))
    assert all(loss.item() < 0.5 * prior for loss, prior in zip(losses, session.prior_losses, strict=True))
