"""Methods that see losses alone: closed forms, where they rest, what the scale of a loss does, and a loss that is not positive."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import methods
from methods.grouping import _by_numbers, _by_tensors, group_means
from methods.window import Window
from tests import linear
from tests.inputs import gaussian

LOSSES = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)
LOGARITHMIC = ["scale_invariant", "gls", "uw_o", "uw_so", "imtl_l", "famo", "stch", "igb_v1", "cov_weighting", "go4align", "pnorm"]
NOT_FINITE = torch.tensor([math.nan, 1.0, 2.0], dtype=torch.float64)


def short(name: str) -> dict[str, Any]:
    """Options that bring a method with epochs past them within a few steps."""
    declared = {h.name for h in methods.card(name).hyperparameters}
    return {key: value for key, value in {"window": 2, "warmup": 1}.items() if key in declared}


def trajectory(name: str, factors: Tensor | None = None, steps: int = 12, **options: Any) -> Tensor:
    """Directions on falling losses; losses, and what they started from, multiplied by ``factors``."""
    factors = torch.ones(3, dtype=torch.float64) if factors is None else factors
    initial = (torch.tensor([0.1, 2.0, 40.0]) * factors).tolist()
    theory = {"initial": "theory"} if any(h.name == "initial" for h in methods.card(name).hyperparameters) else {}
    balancer = linear.create(name, 3, initial_losses=initial, prior_losses=initial, **{**short(name), **theory, **options})
    found = []
    for k in range(steps):
        values = LOSSES * 0.9 ** (k * torch.arange(1, 4))
        found.append(linear.step(balancer, gaussian(3, 5, k) * values[:, None] * factors[:, None], values * factors)[0])
    return torch.stack(found)


def weights_of(balancer: methods.Method, *losses: list[float] | Tensor) -> list[Tensor]:
    """The weights of a sequence of steps."""
    found = []
    for values in losses:
        weights = linear.step(balancer, gaussian(len(values), 4), torch.as_tensor(values, dtype=torch.float64))[1]
        assert weights is not None
        found.append(weights)
    return found


# -- what the scale of a loss does ------------------------------------------------------------------------------------------------------

FACTORS = 10.0 ** torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64)
NORM_TOO = {"realtime_loss", "scale_invariant", "uw_o", "initial_loss", "igb_v1", "stch"}
DIRECTION_ONLY = {"gls", "famo", "ldc_mtl"}


@pytest.mark.parametrize("name", sorted(NORM_TOO | DIRECTION_ONLY))
def test_rescaled_losses_leave_the_whole_trajectory(name: str) -> None:
    assert "loss_scale_invariant" in methods.card(name).claims
    plain, rescaled = trajectory(name), trajectory(name, FACTORS)
    for one, other in zip(plain, rescaled, strict=True):
        assert linear.close(linear.unit(other), linear.unit(one), 1e-5)
        if name in NORM_TOO:
            assert linear.close(other, one, 1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in ("awl", "uw_so", "dwa", "cov_weighting", "go4align", "tchebycheff", "pnorm", "pbi", "cosmos")),
     ("stch", {"form": "raw"}), ("uncertainty", {}), ("imtl_l", {})],
)  # fmt: skip
def test_rescaled_losses_change_the_others(name: str, options: dict[str, Any]) -> None:
    assert methods.card(name).claims.count("loss_scale_invariant") == (name == "stch")
    plain, rescaled = trajectory(name, **options), trajectory(name, FACTORS.flip(0), **options)
    assert not all(linear.close(linear.unit(a), linear.unit(b), 1e-2) for a, b in zip(rescaled, plain, strict=True))


def test_the_weights_of_dwa_and_cov_weighting_ignore_the_scale() -> None:
    for name in ("dwa", "cov_weighting"):
        one, two = linear.create(name, 3, **short(name)), linear.create(name, 3, **short(name))
        for k in range(9):
            values = LOSSES * 0.9 ** (k * torch.arange(1, 4))
            assert linear.close(weights_of(one, values)[0], weights_of(two, values * FACTORS)[0], 1e-5)


# -- one direction, four methods --------------------------------------------------------------------------------------------------------


def test_scale_invariant_gls_and_the_reciprocals_are_one_direction() -> None:
    jacobian = gaussian(3, 4)
    expected = linear.direction("realtime_loss", jacobian, LOSSES)
    assert linear.close(linear.direction("scale_invariant", jacobian, LOSSES), expected)
    assert linear.close(linear.direction("uw_o", jacobian, LOSSES), expected)
    geometric_mean = LOSSES.prod() ** (1 / 3)
    assert linear.close(linear.direction("gls", jacobian, LOSSES), expected * geometric_mean / 3)


def test_gls_reports_the_weights_that_it_uses() -> None:
    """GLS / (T L_t), not L_t / (T Π L)."""
    (weights,) = weights_of(linear.create("gls", 3), LOSSES)
    assert torch.allclose(weights, LOSSES.prod() ** (1 / 3) / (3 * LOSSES))


def test_gls_of_many_losses_does_not_overflow() -> None:
    values = torch.full((40,), 1e30)
    _, losses = linear.losses_of(torch.ones(40, 1), values)
    weights = methods.create("gls", 40).backward(losses).weights
    assert torch.allclose(weights, torch.full((40,), 1 / 40), rtol=1e-4)


def test_scale_invariant_is_the_plain_logarithm() -> None:
    """log(1 + L) would give a loss of 1e-4 the weight 1."""
    assert weights_of(linear.create("scale_invariant", 2), [1e-4, 1e4])[0].tolist() == pytest.approx([1e4, 1e-4])
    assert linear.create("scale_invariant", 3).objective(LOSSES).item() == pytest.approx(LOSSES.log().sum().item())


def test_uw_so() -> None:
    assert torch.allclose(weights_of(linear.create("uw_so", 3, tau=3.0), LOSSES)[0], (1 / LOSSES / 3).softmax(0))
    (tiny,) = weights_of(linear.create("uw_so", 2, tau=1e-3), [1e-8, 1.0])
    assert tiny.tolist() == [1.0, 0.0]
    (cool,) = weights_of(linear.create("uw_so", 3, tau=1e6), LOSSES)
    assert torch.allclose(cool, torch.full_like(cool, 1 / 3), atol=1e-4)


# -- learned scales ---------------------------------------------------------------------------------------------------------------------


def test_imtl_l_rests_at_minus_the_logarithm_of_the_loss() -> None:
    balancer = linear.create("imtl_l", 3, lr=0.05)
    weights = weights_of(balancer, *[LOSSES] * 1500)[-1]
    assert torch.allclose(balancer.log_scale.detach().double(), -LOSSES.log(), atol=1e-3)
    assert torch.allclose(weights, 1 / LOSSES, rtol=1e-3)


def test_imtl_l_is_uncertainty_weighting_at_minus_s() -> None:
    twice = 2 * trajectory("uncertainty", coefficient="half")
    assert all(linear.close(a, b, 1e-4) for a, b in zip(trajectory("imtl_l"), twice, strict=True))


def test_imtl_l_of_a_loss_that_vanishes_comes_to_rest() -> None:
    balancer = linear.create("imtl_l", 2, lr=0.2)
    weights = weights_of(balancer, *[[0.0, 1.0]] * 1500)[-1]
    assert bool(weights.isfinite().all())
    assert balancer.log_scale[0].item() == pytest.approx(-math.log(1e-8), abs=0.2)


def test_ldc_mtl() -> None:
    """σ = 1/T at first; the discrepancy adds ± λ to neighbours' weights; L(0) is the first batch."""
    balancer = linear.create("ldc_mtl", 3, penalty=0.1, lr=0.0)
    first, second = weights_of(balancer, [1.0, 2.0, 4.0], [2.0, 2.0, 8.0])
    assert torch.allclose(first, torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64) / 3)  # all L̃ are equal
    signs = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)  # L̃ = 2, 1, 2
    assert torch.allclose(second, torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64) / 3 * (1 + 0.1 * signs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ldc_mtl_takes_no_side_at_first(dtype: torch.dtype) -> None:
    """All weighted losses are equal at the first step, to the last bit: rounding must not say which is larger."""
    random = torch.Generator().manual_seed(0)
    for tasks in range(2, 41):
        losses = torch.rand(tasks, generator=random, dtype=dtype) * 10.0 ** torch.randint(-3, 4, (tasks,), generator=random)
        balancer = methods.create("ldc_mtl", tasks, penalty=0.5)
        torch.testing.assert_close(balancer.weigh(losses), losses.min() / losses / tasks)
        assert not balancer.state_dict()["v"].any()


def test_an_autocast_region_changes_no_weights() -> None:
    losses = torch.tensor([1.001, 1.0, 0.999])  # equal in bfloat16
    plain = methods.create("ldc_mtl", 3, penalty=0.3, initial="theory", initial_losses=[1.0] * 3).weigh(losses)
    with torch.autocast("cpu", torch.bfloat16):
        inside = methods.create("ldc_mtl", 3, penalty=0.3, initial="theory", initial_losses=[1.0] * 3).weigh(losses)
    assert torch.equal(inside, plain)
    assert plain.tolist() == pytest.approx([1.3 / 3, 1.0 / 3, 0.7 / 3])


def test_ldc_mtl_learns_to_close_the_gap() -> None:
    balancer = linear.create("ldc_mtl", 2, penalty=0.5, lr=0.025, initial="theory", initial_losses=[1.0, 1.0])
    weights_of(balancer, *[[1.0, 3.0]] * 400)
    sigma = balancer.v.softmax(0)
    assert sigma[0].item() > 0.7  # the penalty and the weighted loss both ask for more of the small one
    assert bool((weights_of(balancer, [1.0, 3.0])[0] >= 0).all())


# -- windows in place of epochs ---------------------------------------------------------------------------------------------------------


def test_a_window_is_the_same_by_numbers_as_by_tensors() -> None:
    """Tensors are for devices that would have to be waited for."""
    numbers, tensors = Window(2, 3, 4), Window(2, 3, 4)
    for step in range(10):
        losses = torch.tensor([1.0, 2.0]) * step
        assert bool(numbers._by_numbers(losses)) == bool(tensors._by_tensors(losses)) == (step >= 7)
        assert torch.equal(numbers.total, tensors.total)
        numbers.seen += 1
        tensors.seen += 1
    assert numbers.mean.tolist() == [4.5, 9.0]  # of steps 3 to 6


def test_dwa_starts_from_no_buffer_of_ones() -> None:
    """With constant losses the weights never move, at the seam of the windows least of all."""
    for weights in weights_of(linear.create("dwa", 2, window=25), *[[10.0, 1.0]] * 80):
        assert weights.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


def test_dwa_compares_the_last_two_whole_windows() -> None:
    steps = [[float(k + 1), 2.0] for k in range(9)]
    found = weights_of(linear.create("dwa", 2, window=3, tau=1.5), *steps)
    assert all(weights.tolist() == [1.0, 1.0] for weights in found[:6])
    expected = 2 * (torch.tensor([5.0 / 2.0, 1.0], dtype=torch.float64) / 1.5).softmax(0)
    assert all(torch.allclose(weights, expected, rtol=1e-6) for weights in found[6:])
    assert found[-1].sum().item() == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["dwa", "stch", "igb_v1"])
def test_a_step_that_is_not_finite_is_no_step_of_a_window(name: str) -> None:
    one, two = linear.create(name, 3, **short(name)), linear.create(name, 3, **short(name))
    for k in range(12):
        values = LOSSES * 0.9 ** (k * torch.arange(1, 4))
        linear.step(two, gaussian(3, 4), NOT_FINITE)
        assert torch.equal(weights_of(one, values)[0], weights_of(two, values)[0])


def test_igb_v1() -> None:
    first, second, third = weights_of(linear.create("igb_v1", 2, window=2), [4.0, 1.0], [2.0, 3.0], [6.0, 1.0])
    assert first.tolist() == pytest.approx([1 / 4, 1.0])
    assert second.tolist() == pytest.approx([1 / 2, 1 / 3])
    share = 2 * torch.tensor([6.0 / 3.0, 1.0 / 2.0], dtype=torch.float64).softmax(0)
    assert third.tolist() == pytest.approx((share / torch.tensor([6.0, 1.0])).tolist())


def test_stch_warms_up_on_logarithms_and_divides_by_the_nadir() -> None:
    balancer = linear.create("stch", 2, window=1, warmup=1, mu=0.5)
    first, second, third = weights_of(balancer, [9.0, 9.0], [4.0, 2.0], [1.0, 2.0])
    assert first.tolist() == pytest.approx([1 / 9, 1 / 9])
    assert second.tolist() == pytest.approx([1 / 4, 1 / 2])
    share = (torch.tensor([1 / 4, 1.0], dtype=torch.float64).log() / 0.5).softmax(0)
    assert third.tolist() == pytest.approx((2 * share / torch.tensor([1.0, 2.0])).tolist())


def test_stch_with_the_published_mu_is_linear() -> None:
    *_, third = weights_of(linear.create("stch", 2, window=1, warmup=0), [4.0, 2.0], [1.0, 7.0], [3.0, 5.0])
    linear_weights = torch.tensor([1 / 4, 1 / 2], dtype=torch.float64)
    assert linear.close(linear.unit(third), linear.unit(linear_weights), 1e-6)


def test_raw_stch_approaches_the_maximum_without_overflow() -> None:
    balancer = linear.create("stch", 3, form="raw", mu=1e-4)
    assert balancer.objective(LOSSES * 1e6).item() == pytest.approx(1e7)
    assert weights_of(balancer, LOSSES)[0].tolist() == pytest.approx([0, 0, 1 / 3])


# -- statistics and groups --------------------------------------------------------------------------------------------------------------


def test_cov_weighting_is_welford_over_the_steps_before() -> None:
    steps = [(LOSSES * (1 + 0.3 * gaussian(1, 3, k)[0].abs())) for k in range(10)]
    found = weights_of(linear.create("cov_weighting", 3), *steps)
    assert all(torch.allclose(weights, torch.full_like(weights, 1 / 3)) for weights in found[:2])
    ratios = [torch.ones(3, dtype=torch.float64)] + [steps[k] / torch.stack(steps[:k]).mean(0) for k in range(1, 10)]
    for k in range(2, 10):
        before = torch.stack(ratios[:k])
        variation = (before.var(0, correction=0) + 1e-8).sqrt() / before.mean(0)
        assert torch.allclose(found[k], variation / variation.sum(), rtol=1e-4)


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), groups=st.integers(1, 5))
def test_groups_are_those_of_least_squared_error(values: list[float], groups: int) -> None:
    given_values = torch.tensor(values, dtype=torch.float64)
    found = group_means(given_values, groups)
    ordered = given_values.sort().values
    best = math.inf
    for cuts in itertools.combinations(range(1, len(values)), min(groups, len(values)) - 1):
        parts = torch.tensor_split(ordered, torch.tensor(cuts, dtype=torch.long)) if cuts else (ordered,)
        best = min(best, sum(float((part - part.mean()).square().sum()) for part in parts))
    assert len(found.unique()) <= groups
    assert float((given_values - found).square().sum()) <= best + 1e-9 * (1 + float(ordered.square().sum()))
    for mean in found.unique():
        assert given_values[found == mean].mean().item() == pytest.approx(mean.item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_groups_are_the_same_by_numbers_as_by_tensors(groups: int) -> None:
    """Tensors are for devices that would have to be waited for, and for what takes long in Python."""
    random = torch.Generator().manual_seed(groups)
    for count in (groups, 7, 20):
        for values in (torch.rand(count, generator=random), torch.randint(0, 3, (count,), generator=random).float()):
            assert _by_numbers(values.tolist(), groups) == _by_tensors(values.double(), groups).tolist()
    for value in (math.inf, math.nan, 1e200):  # sums of which are not finite: the same on the host as on a device
        values = torch.tensor([0.0, value, 1.0, -value], dtype=torch.float64)
        assert torch.equal(group_means(values, groups).nan_to_num(7), _by_tensors(values, min(groups, 4)).nan_to_num(7))


def test_go4align() -> None:
    values = torch.tensor([1.0, 2.0, 100.0, 90.0], dtype=torch.float64)
    balancer = linear.create("go4align", 4, eta=1e-2)
    first, second = weights_of(balancer, values, values)
    for times, weights in ((1, first), (2, second)):
        raw = (-1e-2 * times * values).softmax(0) * values.sum() / values
        assert torch.allclose(weights, group_means(raw, 2), rtol=1e-5)
    assert first[2] == first[3]
    (each,) = weights_of(linear.create("go4align", 3, groups=3, eta=0.0), LOSSES)
    assert torch.allclose(each, LOSSES.sum() / (3 * LOSSES), rtol=1e-5)
    (alike,) = weights_of(linear.create("go4align", 3, groups=1), LOSSES)
    assert torch.allclose(alike, alike[0].expand(3))


# -- preferences ------------------------------------------------------------------------------------------------------------------------


def test_tchebycheff_trains_the_worst_weighted_task() -> None:
    """The weight and the ideal point count (one public code returns the plain loss of the worst task)."""
    balancer = linear.create("tchebycheff", 3, preference=[3, 1, 1], ideal=-1.0)
    assert balancer.objective(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)).item() == pytest.approx(0.6 * 2.0)
    assert weights_of(balancer, [1.0, 3.0, 2.0])[0].tolist() == pytest.approx([0.6, 0, 0])


def test_pnorm_runs_from_the_sum_to_the_maximum() -> None:
    preference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    given_weights = {p: weights_of(linear.create("pnorm", 3, p=p, preference=preference.tolist()), LOSSES)[0] for p in (1.0, 2.0, 100.0)}
    assert torch.allclose(given_weights[1.0], preference)
    norm = (preference * LOSSES).norm()
    assert torch.allclose(given_weights[2.0], preference.square() * LOSSES / norm)
    assert torch.allclose(given_weights[100.0], torch.tensor([0, 0, 0.5], dtype=torch.float64), atol=1e-6)
    assert linear.create("pnorm", 3, p=100.0).objective(LOSSES.float() * 1e6).item() == pytest.approx(1e7, rel=1e-3)


def test_pbi_and_cosmos_see_the_ideal_point() -> None:
    """Which one public code leaves out."""
    for name in ("pbi", "cosmos"):
        here, there = (linear.create(name, 3, preference=[2, 3, 5], ideal=z) for z in (0.0, 7.0))
        assert here.objective(LOSSES).item() == pytest.approx(there.objective(LOSSES + 7.0).item())


def test_on_the_ray_pbi_has_no_direction_but_the_ray() -> None:
    preference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1.0)):
        _, losses = linear.losses_of(EYE.to(dtype), 1e3 * preference.to(dtype))
        weights = linear.create("pbi", 3, preference=preference.tolist()).backward(losses).weights
        assert torch.allclose(weights.double(), preference / preference.norm(), atol=tolerance)


@pytest.mark.parametrize("wrong", [[1, 2], [1, 0, 2], [1, -1, 2], [1, float("nan"), 1], [1, float("inf"), 1], 3, ["a", 1, 1]], ids=str)
def test_wrong_preferences_are_errors(wrong: Any) -> None:
    with pytest.raises(methods.MethodError, match=r"tchebycheff: preference is .*; expected 3 numbers > 0"):
        methods.create("tchebycheff", 3, preference=wrong)


def test_only_the_ratios_of_a_preference_matter() -> None:
    for name in ("tchebycheff", "pnorm", "pbi", "cosmos"):
        one, two = (weights_of(linear.create(name, 3, preference=[k, 3 * k, 2 * k]), LOSSES)[0] for k in (1, 4.0))
        assert torch.allclose(one, two)
        plain, equal = weights_of(linear.create(name, 3), LOSSES)[0], weights_of(linear.create(name, 3, preference=[1, 1, 1]), LOSSES)[0]
        assert torch.equal(plain, equal)


# -- losses that are not positive -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGARITHMIC)
def test_losses_that_are_not_positive_are_clamped_and_counted(name: str) -> None:
    balancer = linear.create(name, 3, **short(name))
    for k in range(6):
        values = torch.tensor([0.0, -2.0, 3.0], dtype=torch.float64)
        update, weights = linear.step(balancer, gaussian(3, 4, k), values)
        assert bool(update.isfinite().all())
        assert bool((weights >= 0).all())
    assert balancer.events["clamped_loss"] >= 12
    assert weights_of(linear.create(name, 3, **short(name)), LOSSES) is not None


@pytest.mark.parametrize("name", LOGARITHMIC)
def test_positive_losses_are_not_counted(name: str) -> None:
    balancer = linear.create(name, 3, **short(name))
    weights_of(balancer, *[LOSSES] * 6)
    assert balancer.events == {}


def test_a_zero_first_loss_is_an_error_where_it_is_divided_by() -> None:
    with pytest.raises(methods.LossRangeError, match="ldc_mtl divides by the initial losses, but that of task 0 is 0"):
        weights_of(linear.create("ldc_mtl", 2), [0.0, 1.0])
