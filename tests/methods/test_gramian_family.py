"""The Gramian family against closed forms for two tasks, the identities that define each method, and what public codes get wrong."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

import methods
from methods.gradvac import vaccinated
from methods.pcgrad import surgery
from tests import linear
from tests.inputs import gaussian, jacobians, scaled
from tests.methods.test_pcgrad import orders

B = torch.tensor([[1.0, 2.0, 0.0, -1.0], [-2.0, 0.5, 1.0, 0.5], [0.5, -1.5, 3.0, 1.0]], dtype=torch.float64)


def step(name: str, jacobian: Tensor, values: Tensor | None = None, **options: object) -> tuple[Tensor, Tensor]:
    update, weights = linear.step(linear.create(name, len(jacobian), **options), jacobian, values)
    assert weights is not None
    return update, weights


def pair(seed: int) -> Tensor:
    """Two gradients at a random angle, of lengths up to a thousandfold apart."""
    return gaussian(2, 4, seed) * 10 ** torch.tensor([[seed % 7 - 3.0], [seed % 3 - 1.0]], dtype=torch.float64)


def cagrad(a: Tensor, b: Tensor, c: Tensor, hyper: float = 0.4) -> Tensor:
    spread = a + c - 2 * b
    middle, least, k, h = (c - b) / spread, (a * c - b * b) / spread, hyper / 2 * (a + c + 2 * b).sqrt(), (c - a) / 2
    bend = k * k * spread - h * h
    x = middle + h * (least / (spread * bend)).sqrt() if bend > 0 else (h > 0).double()
    x = x.clamp(0, 1)
    return 0.5 + k / (spread * (x - middle) ** 2 + least).sqrt() * torch.stack([x, 1 - x])


def aligned(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    root, trace = (a * c - b * b).sqrt(), a + c
    smallest = 2 * root * root / (trace + (trace**2 - 4 * root * root).sqrt())
    matrix = torch.stack([torch.stack([a + root, b]), torch.stack([b, c + root])])
    return smallest.sqrt() * (trace + 2 * root).sqrt() * torch.linalg.solve(matrix, torch.full((2,), 0.5, dtype=a.dtype))


CLOSED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "upgrad": lambda a, b, c: torch.stack([1 - b.clamp(max=0) / a, 1 - b.clamp(max=0) / c]) / 2,
    "dualproj": lambda a, b, c: torch.stack([(-b / (2 * a)).clamp(min=0.5), (-b / (2 * c)).clamp(min=0.5)]),
    "nash_mtl": lambda a, b, c: torch.stack([a, c]).rsqrt() / (1 + b / (a * c).sqrt()).sqrt(),
    "imtl_g": lambda a, b, c: torch.stack([c, a]).sqrt() / (a.sqrt() + c.sqrt()),
    "config": lambda a, b, c: (a.sqrt() + c.sqrt()) / 2 * torch.stack([a, c]).rsqrt(),
    "cagrad": cagrad,
    "aligned_mtl": aligned,
}


@pytest.mark.parametrize("name", CLOSED)
def test_two_tasks_have_the_closed_form(name: str) -> None:
    for seed in range(200):
        jacobian = pair(seed)
        (a, b), (_, c) = linear.gramian(jacobian)
        update, weights = step(name, jacobian)
        expected = CLOSED[name](a, b, c)
        assert linear.close(update, expected @ jacobian, 1e-7)
        assert linear.close(weights, expected, 1e-7)


@pytest.mark.parametrize("name", ["nash_mtl", "imtl_g", "config", "grad_normalize", "rotograd_scale"])
def test_for_two_tasks_five_methods_bisect_the_angle(name: str) -> None:
    for seed in range(50):
        jacobian = pair(seed)
        middle = linear.unit(jacobian[0]) + linear.unit(jacobian[1])
        assert linear.close(linear.unit(step(name, jacobian)[0]), linear.unit(middle), 1e-7)


def test_fairgrad_with_alpha_one_is_nash_mtl() -> None:
    for seed in range(20):
        jacobian = scaled(gaussian(5, 9, seed), seed)
        assert linear.close(step("fairgrad", jacobian, alpha=1.0)[1], step("nash_mtl", jacobian)[1], 1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_fair_weights_solve_their_equation_at_every_scale(alpha: float, scale: float) -> None:
    """Where least-squares from uniform weights leaves residuals of 0.69 at scale 1e-3 (FairGrad) and 1.0 at 1e-4 (Nash-MTL)."""
    for tasks in (2, 5, 10):
        jacobian = gaussian(tasks, 30, tasks) * scale
        update, weights = step("fairgrad", jacobian, alpha=alpha)
        assert torch.allclose((jacobian @ update) * weights ** (1 / alpha), torch.ones(tasks, dtype=torch.float64), rtol=1e-8)
        degree = (1 - alpha) / (1 + alpha)
        assert linear.close(update, linear.direction("fairgrad", jacobian / scale, alpha=alpha) * scale**degree, 1e-8)


def test_nash_mtl_has_the_norm_of_its_number_of_tasks_and_clips_to_any_other() -> None:
    for seed in range(20):
        jacobian = scaled(gaussian(4, 9, seed), seed)
        assert step("nash_mtl", jacobian)[0].norm().item() == pytest.approx(2.0, rel=1e-9)
        assert step("nash_mtl", jacobian, max_norm=1.0)[0].norm().item() == pytest.approx(1.0, rel=1e-9)
        assert step("fairgrad", jacobian, max_norm=1e-3)[0].norm().item() <= 1e-3 * (1 + 1e-9)


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad"])
def test_no_root_where_only_some_gradients_balance(name: str) -> None:
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    balancer = linear.create(name, 3)
    assert not bool(linear.step(balancer, jacobian)[0].any())
    assert balancer.events == {}


@given(jacobian=jacobians(2))
def test_cagrad_stays_on_its_ball(jacobian: Tensor) -> None:
    for c in (0.2, 0.4, 0.9):
        mean, update = jacobian.mean(0), step("cagrad", jacobian, c=c)[0]
        radius = (update - mean).norm()
        assert radius <= 1e-12 * mean.norm() or radius.item() == pytest.approx(c * mean.norm().item(), rel=1e-5)


def test_cagrad_goes_from_the_mean_to_mgda() -> None:
    for seed in range(20):
        jacobian = gaussian(4, 9, seed)
        assert linear.close(step("cagrad", jacobian, c=0.0)[0], jacobian.mean(0))
        assert linear.close(linear.unit(step("cagrad", jacobian, c=100.0)[0]), linear.unit(linear.direction("mgda", jacobian)), 0.05)
        assert bool((jacobian @ step("cagrad", jacobian, c=1.0)[0] >= -1e-9).all())  # from 1 on nobody gets worse


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.01, 1.0, 1e3])
@pytest.mark.parametrize("name", ["cagrad", "upgrad", "dualproj"])
def test_small_gradients_are_solved_as_large_ones(name: str, factor: float) -> None:
    """Public codes return the mean, or nothing, below gradient norms of about 0.01."""
    jacobian = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64)
    for rows in (jacobian, B):
        assert linear.close(step(name, rows * factor)[0], step(name, rows)[0] * factor, 1e-8)
    assert bool((jacobian @ step("dualproj", jacobian * factor)[0] >= -1e-12 * factor).all())


def test_cagrad_where_some_gradients_balance() -> None:
    partly = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert linear.close(step("cagrad", partly)[0], partly.mean(0))
    assert not bool(step("cagrad", partly, c=1.0)[0].any())
    with_zero = torch.cat([partly[:1], partly[2:], torch.zeros(1, 2, dtype=torch.float64)])
    update, weights = step("cagrad", with_zero)
    assert weights[2] == 0
    assert (update - with_zero.mean(0)).norm().item() == pytest.approx(0.4 * with_zero.mean(0).norm().item())


@pytest.mark.parametrize("ratio", [1.0, 10.0, 30.0, 100.0, 1000.0])
def test_upgrad_does_not_conflict_however_far_norms_are_apart(ratio: float) -> None:
    """A regularisation by the trace makes the small task lose from a ratio of 30 on."""
    jacobian = torch.tensor([[1.0, 0.0], [-0.5 * ratio, 0.75**0.5 * ratio]], dtype=torch.float64)
    for name in ("upgrad", "dualproj"):
        update = step(name, jacobian)[0]
        assert bool((jacobian @ update >= -1e-12 * ratio).all())


def test_upgrad_is_linear_in_the_scale_of_each_task_and_half_of_pcgrad_for_two() -> None:
    for seed in range(20):
        jacobian, factors = gaussian(4, 9, seed), 10 ** torch.linspace(-2, 2, 4, dtype=torch.float64)
        parts = [step("upgrad", jacobian * (1e-6 + f)[:, None])[0] for f in torch.eye(4, dtype=torch.float64)]
        whole = step("upgrad", jacobian * factors[:, None])[0]
        assert linear.close(whole, sum(f * p for f, p in zip(factors, parts, strict=True)), 1e-4)
        assert linear.close(step("upgrad", jacobian[:2])[0], linear.direction("pcgrad", jacobian[:2]) / 2)


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
def test_without_conflict_projections_leave_the_mean(name: str) -> None:
    jacobian = gaussian(4, 6).abs()
    assert linear.close(step(name, jacobian)[0], jacobian.mean(0))


def test_imtl_g_has_equal_projections_and_weights_that_sum_to_one() -> None:
    """Public code with a transpose missing has projections (0.619, 0.740, 0.344) on B."""
    for jacobian in (B, *(scaled(gaussian(4, 9, seed), seed) for seed in range(20))):
        update, weights = step("imtl_g", jacobian)
        projections = jacobian @ update / jacobian.norm(dim=1)
        assert weights.sum().item() == pytest.approx(1.0)
        assert bool(((projections - projections.mean()).abs() <= 1e-6 * projections.abs().max()).all())
        fixed = step("imtl_g", jacobian, sign_fix=True)[0]
        assert bool((jacobian @ fixed >= 0).all())
        assert linear.close(linear.unit(fixed), linear.unit(step("config", jacobian)[0]), 1e-6)


def test_imtl_g_may_climb_all_losses_and_its_sign_fix_does_not() -> None:
    climbing = [s for s in range(400) if bool((gaussian(5, 6, s) @ step("imtl_g", gaussian(5, 6, s))[0] < 0).all())]
    assert climbing
    assert bool((gaussian(5, 6, climbing[0]) @ step("imtl_g", gaussian(5, 6, climbing[0]), sign_fix=True)[0] > 0).all())


def test_imtl_g_weights_do_not_reach_the_heads() -> None:
    """A negative weight on a loss would train its head by ascent."""
    theta, losses = linear.losses_of(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.2, 1.0]], dtype=torch.float64))
    heads = [torch.nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(3)]
    linear.create("imtl_g", 3).backward([loss + head for loss, head in zip(losses, heads, strict=True)], shared=[theta])
    assert [head.grad.item() for head in heads] == [1.0, 1.0, 1.0]


def test_imtl_learns_the_inverse_of_the_losses() -> None:
    balancer, values = linear.create("imtl", 3), torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    for _ in range(400):
        linear.step(balancer, B, values)
    assert torch.allclose(balancer.s.exp(), 1 / values, rtol=1e-3)


def test_config_is_independent_of_the_scale_of_every_loss() -> None:
    for seed in range(20):
        jacobian = gaussian(4, 9, seed)
        update = step("config", jacobian)[0]
        assert update.norm().item() == pytest.approx((jacobian @ linear.unit(update)).sum().item())
        assert linear.close(linear.unit(step("config", scaled(jacobian))[0]), linear.unit(update), 1e-6)
        assert bool((jacobian @ update > 0).all())


def test_aligned_mtl_makes_orthogonal_gradients_of_one_length() -> None:
    for seed in range(10):
        jacobian = gaussian(4, 9, seed)
        values = torch.linalg.eigvalsh(linear.gramian(jacobian))
        for sigma, expected in {"min": values[0], "median": values[1], "rmse": values.mean()}.items():
            update = step("aligned_mtl", jacobian, sigma=sigma)[0]
            assert update.norm().item() == pytest.approx(float(expected.sqrt()) / 2, rel=1e-9)


@given(jacobian=jacobians(2))
def test_the_first_call_of_gradvac_is_pcgrad(jacobian: Tensor) -> None:
    order = orders(len(jacobian), 0)
    gramian = linear.gramian(jacobian)
    phi = torch.zeros(len(jacobian), len(jacobian), dtype=torch.float64)
    weights = torch.from_numpy(vaccinated(gramian.numpy(), order.numpy(), phi.numpy(), 0.5))
    size = jacobian.norm(dim=1).max()
    assert linear.close(weights @ jacobian, surgery(gramian, order) @ jacobian, 1e-6, size)


def test_gradvac_targets_follow_tasks_that_agree() -> None:
    """Public code that updates φ inside the `if` keeps it at 0 for ever."""
    jacobian = torch.ones(2, 6, dtype=torch.float64) + 0.2 * gaussian(2, 6)
    balancer = linear.create("gradvac", 2)
    for _ in range(50):
        linear.step(balancer, jacobian)
    assert balancer.phi[0, 1] > 0.9


def test_pcd_gives_every_secondary_task_its_share() -> None:
    for seed in range(20):
        jacobian = gaussian(4, 9, seed)
        update = step("pcd", jacobian, tau=0.1)[0]
        assert update.norm().item() == pytest.approx(jacobian[0].norm().item())
        assert bool(((jacobian[1:] @ update) > 0).all())
        if bool((jacobian[1:] @ jacobian[0] >= 0.1 * jacobian[0].norm() * jacobian[1:].norm(dim=1)).all()):
            assert linear.close(update, jacobian[0])
    contradictory = torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    balancer = linear.create("pcd", 3)
    assert linear.close(linear.step(balancer, contradictory)[0], contradictory[0])
    assert balancer.events == {}
    assert not bool(step("pcd", torch.cat([torch.zeros(1, 4, dtype=torch.float64), B]))[0].any())


def test_krum_never_follows_the_outlier() -> None:
    for seed in range(20):
        jacobian = torch.ones(6, 5, dtype=torch.float64) + 0.1 * gaussian(6, 5, seed)
        jacobian[seed % 6] = -100
        for selected in (1, 3):
            update, weights = step("krum", jacobian, byzantine=1, selected=selected)
            assert weights[seed % 6] == 0
            assert weights.sum().item() == pytest.approx(1.0)
            assert int((weights > 0).sum()) == selected
            order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
            assert linear.close(step("krum", jacobian[order], byzantine=1, selected=selected)[0], update)


def test_norm_matching_methods() -> None:
    jacobian = scaled(gaussian(3, 6), 2)
    norms = jacobian.norm(dim=1)
    balancer = linear.create("rotograd_scale", 3)
    assert torch.allclose(linear.step(balancer, jacobian)[1] * norms, norms.mean().expand(3))
    later = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64)
    share = later / later.sum()
    assert torch.allclose(linear.step(balancer, jacobian * later[:, None])[1] * norms * later, (share @ (norms * later)).expand(3))
    weights = step("metabalance", jacobian, relax=1.0)[1]
    assert torch.allclose(weights * norms, norms[0].expand(3))
    assert torch.allclose(step("metabalance", jacobian, relax=0.0)[1], torch.ones(3, dtype=torch.float64))
    assert torch.allclose(step("metabalance", jacobian)[1], 0.7 * norms[0] / norms + 0.3)


def test_db_mtl_gives_every_task_the_longest_log_gradient() -> None:
    jacobian, values = scaled(gaussian(3, 6), 2), torch.tensor([0.5, 2.0, 30.0], dtype=torch.float64)
    update = linear.direction("db_mtl", jacobian, values, beta=0.0)
    longest = (jacobian.norm(dim=1) / values).max()
    assert linear.close(update, longest * sum(linear.unit(row) for row in jacobian))
    factors = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)
    assert linear.close(linear.direction("db_mtl", jacobian * factors[:, None], values * factors, beta=0.0), update)
    balancer, average = linear.create("db_mtl", 3, sigma=0.5), torch.zeros_like(jacobian)
    for k in range(1, 5):
        rows = gaussian(3, 6, seed=k)
        beta = 0.9 / k**0.5
        average = beta * average + (1 - beta) * rows / values[:, None]
        expected = average.norm(dim=1).max() * sum(linear.unit(row) for row in average)
        assert linear.close(linear.step(balancer, rows, values)[0], expected)


def test_cr_mogm_averages_the_weights_of_any_base() -> None:
    balancer, base = linear.create("cr_mogm", 3, base="config", a=0.5), linear.create("config", 3)
    expected = None
    for k in range(4):
        newest = linear.step(base, gaussian(3, 6, k))[1]
        expected = newest if expected is None else (expected + newest) / 2
        assert linear.close(linear.step(balancer, gaussian(3, 6, k))[1], expected)
    for wrong in ("uncertainty", "cr_mogm"):
        with pytest.raises(methods.MethodError, match="gives no weights to average"):
            linear.create("cr_mogm", 2, base=wrong)
    with pytest.raises(methods.MethodError, match="unknown method 'mgd'; did you mean"):
        linear.create("cr_mogm", 2, base="mgd")
    with pytest.raises(methods.MethodError, match="expected a word"):
        linear.create("cr_mogm", 2, base=3)


def test_cr_mogm_scales_as_its_base() -> None:
    for base in ("config", "upgrad"):
        for scale in ("sum", "mean"):
            assert linear.close(step("cr_mogm", B, base=base, scale=scale)[0], step(base, B, scale=scale)[0])


@pytest.mark.parametrize("name", ["mgda", "cagrad", "nash_mtl", "fairgrad", "upgrad", "dualproj", "config", "imtl_g", "gradvac", "pcd"])
def test_gradients_in_float32_give_nearly_the_same(name: str) -> None:
    for seed in range(10):
        jacobian = gaussian(5, 40, seed)
        balancer = linear.create(name, 5)
        single = linear.step(balancer, jacobian.float())[0]
        assert linear.close(single.double(), linear.direction(name, jacobian), 1e-4)
        assert balancer.events == {}


@pytest.mark.parametrize(
    "name", ["cagrad", "nash_mtl", "fairgrad", "upgrad", "dualproj", "config", "imtl_g", "aligned_mtl", "gradvac", "pcd"]
)
def test_forty_tasks_of_low_rank(name: str) -> None:
    for seed in range(2):
        jacobian = gaussian(40, 12, seed) @ gaussian(12, 60, seed + 1)
        balancer = linear.create(name, 40)
        assert bool(linear.step(balancer, jacobian)[0].isfinite().all())
        assert balancer.events == {}
