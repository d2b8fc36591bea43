"""L(0): from the first batch, from calibration batches, from theory."""

import math

import pytest
import torch

import methods
from tests import linear
from tests.inputs import gaussian

NAMES = [name for name in methods.names() if any(h.name == "initial" for h in methods.card(name).hyperparameters)]


def weights(balancer: methods.Method, values: list[float]) -> torch.Tensor:
    return linear.step(balancer, gaussian(2, 4), torch.tensor(values, dtype=torch.float64))[1]


def test_theory() -> None:
    balancer = methods.create("initial_loss", 2, initial="theory", initial_losses=[4.0, 0.5])
    assert balancer.calibration_batches == 0
    assert torch.allclose(weights(balancer, [9.0, 9.0]), torch.tensor([0.25, 2.0], dtype=torch.float64))


def test_first() -> None:
    balancer = methods.create("initial_loss", 2, initial="first")
    assert weights(balancer, [2.0, 5.0]).tolist() == pytest.approx([0.5, 0.2])
    assert weights(balancer, [9.0, 9.0]).tolist() == pytest.approx([0.5, 0.2])


def test_the_first_finite_batch_settles_it() -> None:
    balancer = methods.create("initial_loss", 2, initial="first")
    assert bool(weights(balancer, [math.nan, 1.0]).isnan().all())
    assert weights(balancer, [2.0, 5.0]).tolist() == pytest.approx([0.5, 0.2])


def test_batches_are_weighted_by_their_sizes() -> None:
    balancer = methods.create("initial_loss", 2, batches=2)
    assert balancer.calibration_batches == 2
    balancer.calibrate(torch.tensor([[1.0, 10.0], [4.0, 40.0]]), [20, 10])
    assert weights(balancer, [9.0, 9.0]).tolist() == pytest.approx([1 / 2, 1 / 20])
    balancer.calibrate(torch.tensor([[1.0, 10.0], [4.0, 40.0]]))
    assert weights(balancer, [9.0, 9.0]).tolist() == pytest.approx([1 / 2.5, 1 / 25])


@pytest.mark.parametrize("name", NAMES)
def test_batches_without_calibration_is_an_error(name: str) -> None:
    balancer = methods.create(name, 2, initial="batches", batches=7)
    with pytest.raises(methods.MethodError, match=r"needs the losses of 7 batches before the first step: balancer.calibrate"):
        weights(balancer, [1.0, 1.0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_an_initial_loss_that_is_not_positive_is_an_error(name: str, bad: float) -> None:
    with pytest.raises(methods.LossRangeError, match=f"{name} divides by the initial losses, but that of task 1 is {bad:g}"):
        weights(methods.create(name, 2, initial="theory", initial_losses=[1.0, bad]), [1.0, 1.0])
    balancer = methods.create(name, 2, initial="batches")
    for wrong in (bad, math.nan, math.inf):
        with pytest.raises(methods.LossRangeError, match="that of task 1 is"):
            balancer.calibrate(torch.tensor([[1.0, wrong]]))


@pytest.mark.parametrize("name", NAMES)
def test_calibration_of_the_wrong_shape_is_an_error(name: str) -> None:
    balancer = methods.create(name, 2, initial="batches")
    for wrong in (torch.ones(2), torch.ones(3, 3), torch.ones(0, 2)):
        with pytest.raises(methods.MethodError, match=r"calibrate\(\) got losses of shape .*expected \(k, 2\)"):
            balancer.calibrate(wrong)
    for sizes in ([1], [1, 2, 0], [1, 2, -3]):
        with pytest.raises(methods.MethodError, match=r"calibrate\(\) got sizes .*expected 3 numbers > 0"):
            balancer.calibrate(torch.ones(3, 2), sizes)


@pytest.mark.parametrize("name", NAMES)
def test_calibration_that_was_not_asked_for_changes_nothing(name: str) -> None:
    balancer = methods.create(name, 2, initial="theory", initial_losses=[4.0, 0.5])
    balancer.calibrate(torch.ones(3, 2))
    assert balancer.start.tolist() == [4.0, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_calibration_is_saved(name: str) -> None:
    balancer = methods.create(name, 2, initial="batches")
    balancer.calibrate(torch.tensor([[2.0, 5.0]]))
    fresh = methods.create(name, 2, initial="batches")
    fresh.load_state_dict(balancer.state_dict())
    assert torch.equal(weights(fresh, [1.0, 1.0]), weights(balancer, [1.0, 1.0]))


def test_the_prior_loss_divides() -> None:
    assert weights(methods.create("prior_loss", 2, prior_losses=[4.0, 0.5]), [9.0, 9.0]).tolist() == pytest.approx([0.25, 2.0])


@pytest.mark.parametrize("name", NAMES)
def test_a_first_batch_with_a_zero_loss_is_an_error(name: str) -> None:
    with pytest.raises(methods.LossRangeError, match="that of task 1 is 0; expected a finite number > 0"):
        weights(methods.create(name, 2, initial="first"), [1.0, 0.0])


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_a_run_that_has_not_begun_begins_anew(name: str) -> None:
    untouched = methods.create(name, 2, initial="first").state_dict()
    used = methods.create(name, 2, initial="first")
    weights(used, [2.0, 5.0])
    used.load_state_dict(untouched)
    assert bool(weights(used, [4.0, 1.0]).isfinite().all())
    assert used.start.tolist() == [4.0, 1.0]
