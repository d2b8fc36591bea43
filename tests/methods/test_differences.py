"""Same name, different answer: every line of methods/differences.toml, on our side and, spelled out in a few lines, on theirs."""

from __future__ import annotations

import importlib
import itertools
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares, minimize
from torch import Tensor, nn

import methods
from tests import linear, nets
from tests.inputs import gaussian

ROOT = Path(methods.__file__).parents[1]
TABLE = tomllib.loads((ROOT / "methods" / "differences.toml").read_text(encoding="utf-8"))
ROWS = TABLE["difference"]
FIELDS = {"method", "where", "theirs", "cost", "ours", "test"}


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


A = tensor([[-4, 1, 1], [6, 1, 1]])
B = tensor([[1, 2, 0, -1], [-2, 0.5, 1, 0.5], [0.5, -1.5, 3, 1]])
OPPOSITE = tensor([[1, 2], [-2, -4]])


def about(values: list[float]) -> Any:
    """To the digits that the table shows."""
    return pytest.approx(values, abs=6e-4)


def direction(name: str, jacobian: Tensor, values: Any = None, **options: Any) -> Tensor:
    return linear.direction(name, jacobian, None if values is None else tensor(values), **options)


def weights(balancer: methods.Method, values: Any, jacobian: Tensor | None = None) -> Tensor:
    """The weights of one step."""
    jacobian = torch.eye(len(values), dtype=torch.float64) if jacobian is None else jacobian
    found = linear.step(balancer, jacobian, tensor(values))[1]
    assert found is not None
    return found


def head_gradients(name: str, jacobian: Tensor, values: Any = None, **options: Any) -> list[float]:
    """What a scalar head a task, whose plain gradient is 1, is given."""
    theta, losses = linear.losses_of(jacobian, None if values is None else tensor(values))
    heads = [nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in losses]
    linear.create(name, len(losses), **options).backward([loss + head for loss, head in zip(losses, heads, strict=True)], shared=[theta])
    return [head.grad.item() for head in heads]


def angles(jacobian: Tensor, update: Tensor) -> Tensor:
    """Cosines between the update and every task gradient."""
    return jacobian @ update / jacobian.norm(dim=1) / update.norm()


# -- the table itself -------------------------------------------------------------------------------------------------------------------


def test_every_row_is_whole_and_about_a_method_and_code_that_exist() -> None:
    for row in ROWS:
        assert set(row) == FIELDS
        assert all(text and text == text.strip() for text in row.values())
        assert row["method"] in methods.names()
        assert {where.split()[0] for where in row["where"].split("; ")} <= set(TABLE["sources"])
    assert len({(row["method"], row["where"], row["theirs"]) for row in ROWS}) == len(ROWS)


def test_every_row_names_a_test() -> None:
    for row in ROWS:
        path, _, name = row["test"].partition("::")
        assert (ROOT / path).is_file()
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert name.startswith("test_")
        assert callable(getattr(module, name))


def test_every_test_of_a_difference_is_named_by_a_row() -> None:
    here = {name for name in globals() if name.startswith("test_") and not name.startswith("test_every_")}
    assert here <= {row["test"].partition("::")[2] for row in ROWS}


# -- weights from the losses alone ------------------------------------------------------------------------------------------------------


def test_equal_is_the_mean_and_the_sum_only_when_asked() -> None:
    assert weights(linear.create("equal", 3), [1, 2, 3]).tolist() == pytest.approx([1 / 3] * 3)
    assert weights(linear.create("equal", 3, scale="sum"), [1, 2, 3]).tolist() == pytest.approx([1] * 3)


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_random_weights_sum_to_one(distribution: str) -> None:
    balancer = linear.create("rlw", 5, distribution=distribution)
    for _ in range(20):
        assert weights(balancer, [1] * 5).sum().item() == pytest.approx(1.0)


def test_a_loss_over_itself_is_never_nan_never_climbs_and_never_overflows() -> None:
    for value, expected in ((0.0, math.nan), (-4.0, -0.25)):
        loss = tensor(value).requires_grad_()
        theirs = torch.autograd.grad(loss / loss.detach(), loss)[0] if value else loss.detach() / loss.detach()
        assert theirs.item() == pytest.approx(expected, nan_ok=True)
    assert weights(linear.create("realtime_loss", 2), [0.0, -4.0]).tolist() == pytest.approx([1e8, 0.25])
    half = torch.tensor(1e-5, dtype=torch.float16)
    assert torch.isinf(1 / half)
    theta = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    found = methods.create("realtime_loss", 1).backward([theta.sum() + half]).weights
    assert found.item() == pytest.approx(1e5, rel=0.01)


def test_the_geometric_mean_of_a_vanished_loss_has_a_gradient() -> None:
    for theirs in (lambda losses: losses.log().mean().exp(), lambda losses: losses.prod() ** (1 / 3)):
        losses = tensor([0.0, 1.0, 8.0]).requires_grad_()
        theirs(losses).backward()
        assert not losses.grad.isfinite().all()
    balancer = linear.create("gls", 3)
    mean = (1e-8 * 8) ** (1 / 3)
    assert weights(balancer, [0.0, 1.0, 8.0]).tolist()[1:] == pytest.approx([mean / 3, mean / 24])
    assert balancer.events == {"clamped_loss": 1}


def test_uncertainty_starts_at_weight_one_half() -> None:
    assert weights(linear.create("uncertainty", 2), [3, 5]).tolist() == pytest.approx([0.5, 0.5])
    theirs = linear.create("uncertainty", 2, kinds=["regression", "classification"])
    assert weights(theirs, [3, 5])[1].item() == pytest.approx(1.0)  # the loss without its 1/2
    theirs.log_variance.data.fill_(-0.5)
    assert weights(theirs, [3, 5])[0].item() == pytest.approx(0.824, abs=1e-3)


def test_uncertainty_rests_at_half_the_inverse_loss() -> None:
    """So does the objective with halves; Σ e^-s L + s, without them, rests at the same s with twice the weight."""
    losses, balancer = tensor([0.1, 10.0]), linear.create("uncertainty", 2)
    balancer.log_variance.data = losses.log().float()
    (ours,) = torch.autograd.grad(balancer.objective(losses), [balancer.log_variance])
    assert ours.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert weights(balancer, losses.tolist()).tolist() == pytest.approx([5.0, 0.05])
    s = losses.log().requires_grad_()
    (theirs,) = torch.autograd.grad(((-s).exp() * losses + s).sum(), [s])
    assert theirs.tolist() == pytest.approx([0, 0], abs=1e-12)
    assert (-s).exp().tolist() == pytest.approx([10.0, 0.1])


def test_learned_scales_have_an_optimizer_of_their_own() -> None:
    """At the learning rate of a model, s is still where it began after 200 steps."""
    own, models = linear.create("imtl_l", 1), linear.create("imtl_l", 1, lr=1e-4)
    for _ in range(200):
        ours, theirs = weights(own, [100]), weights(models, [100])
    assert ours.item() < 0.1
    assert theirs.item() == pytest.approx(0.98, abs=2e-3)


def test_awl_has_no_pole() -> None:
    """c itself overshoots to the pole at 0, and past it, where a loss is small; log c² does not."""
    loss, rest = 1e-6, 1 / (2 * (1e-6 + math.sqrt(1e-12 + 8e-6)) / 4)
    c = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer, theirs, signs = torch.optim.Adam([c], lr=0.1), 0.0, set()
    balancer, ours = linear.create("awl", 1, lr=0.1), 0.0
    for _ in range(400):
        optimizer.zero_grad()
        (loss / (2 * c**2) + (1 + c**2).log()).backward()
        optimizer.step()
        theirs = max(theirs, 1 / (2 * c.item() ** 2))
        signs.add(c.item() > 0)
        ours = max(ours, weights(balancer, [loss]).item())
    assert signs == {True, False}
    assert theirs > 170 * rest
    assert ours < 2 * rest


def test_dwa_compares_no_loss_with_a_one() -> None:
    losses, window = np.array([10.0, 1.0]), 25
    buffer, balancer, theirs = np.ones((2 * window, 2)), linear.create("dwa", 2), []
    for step in range(80):
        buffer = np.vstack([buffer[1:], losses])
        rates = np.exp(buffer[window:].mean(0) / buffer[:window].mean(0) / 2) if step > window else np.ones(2)
        theirs.append(2 * rates / rates.sum())
        assert weights(balancer, losses).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert theirs[26].tolist() == pytest.approx([1.83, 0.17], abs=6e-3)
    assert [step for step in range(80) if abs(theirs[step][0] - 1) > 1e-9] == list(range(26, 49))


def test_famo_never_clips() -> None:
    theta, losses = linear.losses_of(A, tensor([1, 4]))
    theta.grad = torch.zeros_like(theta)
    nn.utils.clip_grad_norm_([theta], 1.0)  # theirs: before backward()
    linear.create("famo", 2).backward(losses)
    assert theta.grad.norm().item() == pytest.approx(2.449, abs=1e-3)
    assert linear.close(theta.grad, tensor([0.8, 0.2]) @ A)
    nn.utils.clip_grad_norm_([theta], 1.0)
    assert theta.grad.norm().item() == pytest.approx(1.0)


def test_famo_divides_by_the_sum_of_inverse_losses() -> None:
    inverse = 1 / tensor([0.01, 0.04])
    ours, c = weights(linear.create("famo", 2), [0.01, 0.04]), (inverse / 2).sum()
    assert ours.tolist() == pytest.approx((inverse / 2 / c).tolist())
    assert ours.sum().item() == pytest.approx(1.0)
    assert (inverse / 2 * c).sum().item() == pytest.approx(3906.25)


def test_stch_compares_logarithms_after_a_warm_up() -> None:
    balancer = linear.create("stch", 2, warmup=0, window=1)
    weights(balancer, [1, 100])
    assert weights(balancer, [1, 100]).tolist() == pytest.approx([1, 0.01])
    theirs = (tensor([1, 100]) / 2).softmax(0) / 2
    assert theirs.tolist() == pytest.approx([0, 0.5], abs=1e-12)
    assert weights(linear.create("stch", 2, form="raw"), [1, 100]).tolist() == pytest.approx(theirs.tolist())


def test_scalarisations_measure_from_the_ideal_point() -> None:
    """Seen from 0 the losses lie on the other side of the ray, and the other task is climbed."""
    ideal, theirs = (weights(linear.create("pbi", 2, preference=[1, 3], ideal=z), [8, 11]).tolist() for z in (7.0, 0.0))
    assert ideal == about([-4.427, 2.530])
    assert theirs == about([5.060, -0.632])


def test_cosmos_takes_the_preference_as_it_is() -> None:
    values, r = tensor([0.5, 1, 2]).requires_grad_(), tensor([0.2, 0.3, 0.5])
    along = values @ r / r.norm()
    theirs = torch.autograd.grad(along - 10 * along / values.norm(), values)[0]
    assert weights(linear.create("cosmos", 3, preference=r.tolist()), [0.5, 1, 2]).tolist() == about([0.153, 0.276, 0.524])
    assert theirs.tolist() == about([-0.148, 0.251, 1.047])


# -- weights from how the task gradients lie to each other --------------------------------------------------------------------------------


def gradnorm(rates: Tensor, alpha: float) -> Tensor:
    """Where Algorithm 1 leads, by plain steps, for gradients of norm 1 and rates that stay."""
    w = torch.ones_like(rates)
    for _ in range(300):
        w = w - 0.005 * torch.sign(w - w.mean() * rates**alpha)
        w = w * len(w) / w.sum()
    return w


def test_gradnorm_speeds_up_the_slow_task() -> None:
    balancer, rates = linear.create("gradnorm", 2, initial="theory", initial_losses=[1.0, 1.0]), tensor([4 / 3, 2 / 3])
    for _ in range(100):
        ours = weights(balancer, [1.0, 0.5])
    for found in (ours, gradnorm(rates, 1.5)):
        assert found.tolist() == pytest.approx([1.46, 0.54], abs=0.03)
    assert gradnorm(rates, -1.5).tolist() == pytest.approx([0.65, 1.35], abs=0.03)


def test_gradnorm_moves_from_the_first_step_and_as_published() -> None:
    defaults = {h.name: h.default for h in methods.card("gradnorm").hyperparameters}
    assert (defaults["alpha"], defaults["lr"]) == (1.5, 0.025)
    balancer = linear.create("gradnorm", 2, initial="first")
    weights(balancer, [1.0, 1.0], 2 * torch.diag(tensor([1, 3])))
    assert balancer.w.tolist() == pytest.approx([1.025, 0.975])
    theirs = 2 * tensor([1e-4, -1e-4]).softmax(0)  # one step of the model's Adam, at its usual rate
    assert theirs.tolist() == pytest.approx([1.0001, 0.9999])


def test_gradnorm_leaves_no_plain_gradients_in_the_trunk() -> None:
    net = nets.build()
    first = net.shared()[:2]  # in front of the layer that GradNorm looks at
    plain = nets.flat(torch.autograd.grad(sum(net.losses()), first))
    linear.create("gradnorm", 3, initial="first").backward(net.losses(), shared=net.shared())
    assert linear.close(nets.grads(first), plain)  # w = 1
    net.clear()
    losses = net.losses()
    for loss in [*losses, sum(losses)]:  # theirs: for the norms, then for the update
        loss.backward(retain_graph=True)
    assert linear.close(nets.grads(first), 2.0 * plain)


def test_gradnorm_never_climbs_a_task() -> None:
    norms = gaussian(2, 5).norm(dim=1) * tensor([1, 1000])
    w = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer, balancer, theirs = torch.optim.Adam([w], lr=0.025), linear.create("gradnorm", 2), []
    for step in range(100):
        losses = tensor([1, 1000]) * 0.99**step
        optimizer.zero_grad()
        (w * norms - (w * norms).mean().detach()).abs().mean().backward()
        optimizer.step()
        w.data *= 2 / w.data.sum()
        theirs.append(w.min().item())
        weights(balancer, losses.tolist(), torch.diag(norms))
        assert balancer.w.min() > 0
    assert next(step for step, value in enumerate(theirs, start=1) if value < 0) == 41


def test_gradnorm_takes_the_norm_over_weight_and_bias() -> None:
    net = nets.build()
    losses = net.losses()
    layer = net.shared()[2:4]
    rows = [torch.autograd.grad(loss, layer, retain_graph=True) for loss in losses]
    balancer = linear.create("gradnorm", 3, initial="theory", initial_losses=[loss.item() for loss in losses])
    seen: list[Tensor] = []
    balancer.adam.step = lambda _, gradient: seen.append(gradient)  # type: ignore[method-assign, assignment]
    balancer.backward(losses, shared=net.shared())
    whole, weight = tensor([nets.flat(row).norm() for row in rows]), tensor([row[0].norm() for row in rows])
    assert seen[0].abs().tolist() == pytest.approx(whole.tolist())
    assert (weight / whole).tolist() == pytest.approx([0.59, 0.74, 0.57], abs=5e-3)


def test_pcgrad_is_the_sum_and_the_mean_when_asked() -> None:
    assert direction("pcgrad", A).tolist() == about([0.585, 3.801, 3.801])
    assert direction("pcgrad", A, scale="mean").tolist() == about([0.292, 1.901, 1.901])


def surgery(jacobian: Tensor, orders: Any, eps: float = 0.0) -> Tensor:
    """PCGrad for the tasks that each task meets, in turn."""
    total = torch.zeros_like(jacobian[0])
    for h, order in zip(jacobian, orders, strict=True):
        for j in order:
            h = h - (h @ jacobian[j]).clamp(max=0) / (jacobian[j].square().sum() + eps) * jacobian[j]
        total = total + h
    return total


def test_pcgrad_draws_an_order_for_every_task() -> None:
    """Three tasks have eight orders, each with an update of its own here."""
    jacobian = tensor([[1, 0, 0], [-1, 1, 0], [-1, -2, 1]])

    def updates(found: list[Tensor]) -> set[tuple[float, ...]]:
        return {tuple((update * 1e9).round().tolist()) for update in found}

    every = [surgery(jacobian, orders) for orders in itertools.product(*[itertools.permutations({0, 1, 2} - {i}) for i in range(3)])]
    common = [surgery(jacobian, [[j for j in order if j != i] for i in range(3)]) for order in itertools.permutations(range(3))]
    balancer = linear.create("pcgrad", 3)
    ours = updates([linear.step(balancer, jacobian)[0] for _ in range(200)])
    assert ours == updates(every)
    assert (len(ours), len(updates(common))) == (8, 6)


def test_pcgrad_never_projects_a_task_onto_itself() -> None:
    """Two near opposites of the first gradient: what one leaves of it, the other turns against it."""
    degrees = torch.deg2rad(tensor([180, 20, -20]))
    jacobian = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    with_self, without = (
        [surgery(jacobian, orders) for orders in itertools.product(*[list(itertools.permutations(met)) for met in meets])]
        for meets in ([(0, 1, 2)] * 3, [(1, 2), (0, 2), (0, 1)])
    )
    balancer = linear.create("pcgrad", 3)
    ours = [linear.step(balancer, jacobian)[0] for _ in range(200)]
    assert all(any(linear.close(found, one, 1e-9, 1.0) for one in without) for found in ours)
    strange = [found for found in with_self if not any(linear.close(found, one, 1e-9, 1.0) for one in without)]
    assert len(strange) / len(with_self) == pytest.approx(1 / 3)
    assert (torch.stack(with_self).mean(0)[0] / torch.stack(without).mean(0)[0]).item() == pytest.approx(0.85, abs=5e-3)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_pcgrad_projects_small_gradients_too(scale: float) -> None:
    jacobian = tensor([[1, 0], [-20, 2]]) * scale
    ours = direction("pcgrad", jacobian)
    assert linear.close(ours, direction("pcgrad", jacobian / scale) * scale)
    assert bool((jacobian @ ours >= 0).all())
    theirs = surgery(jacobian, [[1], [0]], eps=1e-5) / scale
    assert theirs[0].item() == pytest.approx({1.0: 0.010, 1e-3: -18.148, 1e-6: -19.0}[scale], abs=1e-3)


def test_mgda_applies_weights_to_the_raw_gradients() -> None:
    units = B / B.norm(dim=1, keepdim=True)
    ours, found = linear.step(linear.create("mgda", 3, normalize="l2"), B)
    assert ours.tolist() == about([0.071, 0.463, 1.244, 0.042])
    assert (found @ units).tolist() == about([-0.001, 0.254, 0.388, -0.022])
    assert direction("mgda", B, normalize="l2", applied_to="normalized").tolist() == about([-0.001, 0.254, 0.388, -0.022])


def test_mgda_is_the_shortest_combination_however_many_tasks() -> None:
    jacobian = gaussian(10, 12, 1) * 10 ** torch.linspace(-0.5, 0.5, 10, dtype=torch.float64)[:, None]
    gramian, w = linear.gramian(jacobian), torch.full((10,), 0.1, dtype=torch.float64)
    for _ in range(100):  # Frank-Wolfe with an exact line search
        vertex = nn.functional.one_hot((gramian @ w).argmin(), 10).double()
        step = ((w - vertex) @ gramian @ w / ((w - vertex) @ gramian @ (w - vertex))).clamp(0, 1)
        w = w + step * (vertex - w)
        if step < 1e-3:
            break
    ours, theirs = direction("mgda", jacobian), w @ jacobian
    assert (theirs.square().sum() / ours.square().sum()).item() == pytest.approx(2.89, abs=0.01)
    assert angles(jacobian, theirs).min().item() < 0
    assert bool((jacobian @ ours >= ours.square().sum() * (1 - 1e-9)).all())


def test_mgda_reaches_the_vertices() -> None:
    jacobian = tensor([[1, 0], [1000, 0]])
    ours, found = linear.step(linear.create("mgda", 2), jacobian)
    assert found.tolist() == [1, 0]
    assert ours.tolist() == [1, 0]
    assert (tensor([0.999, 0.001]) @ jacobian)[0].item() == pytest.approx(1.999)


def test_mgda_on_the_representation_keeps_samples_apart() -> None:
    """Task 0 wants opposite things of the two samples: summed over the batch it wants nothing."""
    z = nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
    losses = [z[0, 0] - z[1, 0], 2 * z.sum()]
    rows = torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in losses])
    found = methods.create("mgda", 2, on="representation").backward(losses, representation=z).weights
    assert found.tolist() == pytest.approx([0.8, 0.2])
    assert rows.sum(1).flatten().tolist() == [0, 4]  # theirs: the shortest combination is task 0 alone


def test_mgda_weights_sum_to_one_and_do_not_freeze_heads() -> None:
    jacobian = tensor([[1, 0], [3, 0]])
    assert weights(linear.create("mgda", 2), [1, 1], jacobian).tolist() == [1, 0]
    assert head_gradients("mgda", jacobian) == [1, 1]  # not the weights


def by_slsqp(jacobian: Tensor, c: float) -> Tensor:
    """CAGrad's dual left to a general solver whose tolerances are absolute."""
    gramian = linear.gramian(jacobian).numpy()
    mean = np.full(len(gramian), 1 / len(gramian))
    radius = c * math.sqrt(mean @ gramian @ mean + 1e-8)
    found = minimize(
        lambda w: w @ gramian @ mean + radius * math.sqrt(w @ gramian @ w + 1e-8),
        mean,
        bounds=[(0, 1)] * len(mean),
        constraints={"type": "eq", "fun": lambda w: 1 - w.sum()},
    )
    worst = torch.from_numpy(found.x) @ jacobian
    return jacobian.mean(0) + radius / worst.norm() * worst


@pytest.mark.parametrize(("jacobian", "error"), [(A, 0.66), (B, 0.46)], ids="AB")
def test_cagrad_is_no_scaled_mean_where_gradients_are_small(jacobian: Tensor, error: float) -> None:
    ours, theirs = direction("cagrad", jacobian * 0.01), by_slsqp(jacobian * 0.01, 0.4)
    assert linear.close(by_slsqp(jacobian, 0.4), direction("cagrad", jacobian), 1e-4)  # at norm 5 they agree
    assert linear.close(ours, direction("cagrad", jacobian) * 0.01)
    assert linear.close(theirs, 1.4 * jacobian.mean(0) * 0.01, 1e-4)
    assert ((theirs - ours).norm() / ours.norm()).item() == pytest.approx(error, abs=0.01)


def normalised(gramian: Tensor) -> Tensor:
    """G over its trace, and 0 where that is below 1e-4."""
    return gramian / gramian.trace() if gramian.trace() >= 1e-4 else torch.zeros_like(gramian)


def test_cagrad_does_not_stop_where_gradients_are_small() -> None:
    small = B * 1e-3
    assert not bool(normalised(linear.gramian(small)).any())  # theirs: then w = 0
    assert linear.close(direction("cagrad", small), direction("cagrad", B) * 1e-3)


def test_cagrad_stays_at_its_distance_from_the_mean() -> None:
    ours, mean = direction("cagrad", B), B.mean(0)
    assert (ours - mean).norm().item() == pytest.approx(0.4 * mean.norm().item())
    assert (ours * 3 / (1 + 0.4**2)).tolist() == about([0.052, 2.094, 3.507, -0.141])
    assert linear.close(direction("cagrad", B, rescale="squared", scale="sum"), 2.586 * ours, 1e-3)
    assert linear.close(direction("cagrad", B, rescale="squared"), 0.862 * ours, 1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1.0, 1e4])
def test_nash_mtl_finds_the_root_at_every_scale_and_no_root_where_there_is_none(scale: float) -> None:
    jacobian = gaussian(5, 30, 5) * scale
    ours, found = linear.step(linear.create("nash_mtl", 5), jacobian)
    assert ((jacobian @ ours) * found).tolist() == pytest.approx([1] * 5, rel=1e-9)
    assert not bool(direction("nash_mtl", OPPOSITE * scale).any())


def test_nash_mtl_heads_do_not_depend_on_the_trunk() -> None:
    jacobian = torch.diag(tensor([1, 1000]))
    assert weights(linear.create("nash_mtl", 2), [1, 1], jacobian).tolist() == pytest.approx([1, 0.001])  # theirs, on the losses
    assert head_gradients("nash_mtl", jacobian) == [1, 1]


def test_nash_mtl_has_norm_root_t_unless_clipped() -> None:
    for tasks in (2, 9):
        jacobian = gaussian(tasks, 30, tasks)
        assert direction("nash_mtl", jacobian).norm().item() == pytest.approx(tasks**0.5)
        assert direction("nash_mtl", jacobian, max_norm=1.0).norm().item() == pytest.approx(1.0)


def by_least_squares(jacobian: Tensor, alpha: float) -> Tensor:
    """FairGrad's equation left to a general solver, from uniform weights."""
    gramian = linear.gramian(jacobian).numpy()
    start = np.full(len(gramian), 1 / len(gramian))
    return torch.from_numpy(least_squares(lambda w: gramian @ w - w ** (-1 / alpha), start, bounds=(0, np.inf)).x) @ jacobian


def test_fairgrad_solves_its_equation_where_gradients_are_small() -> None:
    small = B * 1e-4
    ours, theirs = direction("fairgrad", small), by_least_squares(small, 2.0)
    assert linear.close(by_least_squares(B, 2.0), direction("fairgrad", B), 1e-6)  # at norm 3 they agree
    assert linear.close(ours, direction("fairgrad", B) * 1e-4 ** (-1 / 3), 1e-9)
    assert (theirs.norm() / ours.norm()).item() == pytest.approx(0.14, abs=0.01)
    assert math.degrees(math.acos(linear.unit(theirs) @ linear.unit(ours))) == pytest.approx(22.5, abs=1)


def test_fairgrad_is_neither_multiplied_nor_clipped() -> None:
    ours = direction("fairgrad", B)
    assert ours.tolist() == about([-0.116, 0.759, 1.090, -0.051])
    assert ours.norm().item() == pytest.approx(1.334, abs=1e-3)
    theirs = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    theirs.grad = 3 * ours
    nn.utils.clip_grad_norm_([theirs], 1.0)
    assert theirs.grad.norm().item() == pytest.approx(1.0)
    assert linear.close(theirs.grad, direction("fairgrad", B, max_norm=1.0), 1e-6)
    assert methods.card("fairgrad").resolve({})["alpha"] == 2.0


def test_imtl_g_has_equal_projections() -> None:
    units = B / B.norm(dim=1, keepdim=True)
    differences, units_differ = B[0] - B[1:], units[0] - units[1:]
    matrix, right = differences @ units_differ.T, units_differ @ B[0]
    projections = {}
    for name, system in {"paper": matrix.T, "theirs": matrix}.items():
        share = torch.linalg.solve(system, right)
        projections[name] = (units @ (B[0] - share @ differences)).tolist()
    assert (units @ direction("imtl_g", B)).tolist() == about([0.581] * 3)
    assert projections["paper"] == about([0.581] * 3)
    assert projections["theirs"] == about([0.619, 0.740, 0.344])


def test_imtl_g_never_trains_a_head_by_ascent() -> None:
    jacobian = tensor([[2, 0, 0], [0, 2, 0], [1, 1, 1]])
    assert weights(linear.create("imtl_g", 3), [1, 1, 1], jacobian).tolist() == about([0.634, 0.634, -0.268])  # theirs, on the losses
    assert head_gradients("imtl_g", jacobian) == [1, 1, 1]


def test_imtl_g_is_zero_between_opposite_gradients() -> None:
    gramian = linear.gramian(OPPOSITE)
    v = torch.linalg.pinv(gramian) @ gramian.diagonal().sqrt()
    assert (v / v.sum() @ OPPOSITE).tolist() == pytest.approx([-5, -10])
    assert direction("imtl_g", OPPOSITE).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_aligned_mtl_is_a_mean() -> None:
    values, vectors = torch.linalg.eigh(linear.gramian(B))
    theirs = values[0].sqrt() * (vectors / values.sqrt() @ vectors.T).sum(1) @ B
    assert direction("aligned_mtl", B).norm().item() == pytest.approx((values[0] / 3).sqrt().item())
    assert linear.close(theirs, 3 * direction("aligned_mtl", B))
    assert linear.close(theirs, direction("aligned_mtl", B, scale="sum"))


def regularised(jacobian: Tensor, point: Tensor) -> Tensor:
    """argmin over v >= u of vᵀ (G / tr G + 1e-4 I) v for two tasks, as weights; one of the two stays at its u."""
    gramian = normalised(linear.gramian(jacobian)) + 1e-4 * torch.eye(2, dtype=torch.float64)
    moved = [point.clone(), point.clone()]
    for free, fixed in ((0, 1), (1, 0)):
        moved[free][free] = torch.maximum(point[free], -gramian[0, 1] * point[fixed] / gramian[free, free])
    return min(moved, key=lambda v: float(v @ gramian @ v))


@pytest.mark.parametrize(("ratio", "cosine"), [(1, 0.5), (10, 0.077), (30, -0.019), (100, -0.268), (1000, -0.496)])
def test_upgrad_helps_the_task_with_the_small_gradient(ratio: float, cosine: float) -> None:
    jacobian = tensor([[1, 0], [-0.5 * ratio, 0.75**0.5 * ratio]])
    theirs = sum(regularised(jacobian, point) for point in torch.eye(2, dtype=torch.float64)) @ jacobian
    assert angles(jacobian, theirs)[0].item() == pytest.approx(cosine, abs=1e-3)
    assert bool((angles(jacobian, direction("upgrad", jacobian)) > 0).all())


def test_dualproj_projects_small_gradients_too() -> None:
    small = A * 1e-3
    theirs = regularised(small, tensor([0.5, 0.5])) @ small
    assert linear.close(theirs, small.mean(0))
    assert (small @ theirs * 1e6).tolist() == pytest.approx([-2, 8])
    ours = direction("dualproj", small)
    assert bool((small @ ours >= -1e-18).all())
    assert linear.close(ours, tensor([0.5556, 1.1111, 1.1111]) * 1e-3, 1e-4)


def test_krum_compares_squared_distances() -> None:
    jacobian = tensor([[1, 1], [0, 1], [5, 0], [9, 8], [9, 6]])
    distances = torch.cdist(jacobian, jacobian).sort(dim=1).values[:, 1:4]
    assert (distances.sum(1).argmin(), distances.square().sum(1).argmin()) == (0, 2)
    assert direction("krum", jacobian).tolist() == [5, 0]


def primary_first(jacobian: Tensor, tau: float, eps: float) -> Tensor:
    """The first step of priority-constrained descent for two tasks."""
    first, second = jacobian / (jacobian.square().sum(1, keepdim=True) + eps).sqrt()
    found = first + (tau - first @ second / second.square().sum()).clamp(min=0) * second
    return linear.unit(found) * jacobian[0].norm()


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_pcd_constrains_small_gradients_alike(scale: float) -> None:
    jacobian = tensor([[1, 1], [-50, 5]]) * scale
    ours, theirs = direction("pcd", jacobian, tau=0.5) / scale, primary_first(jacobian, 0.5, 1e-8) / scale
    assert ours.tolist() == about([-0.645, 1.258])
    assert theirs.tolist() == (about([-0.645, 1.258]) if scale == 1 else about([-1.399, 0.209]))


def test_metabalance_matches_norms_of_the_whole_trunk() -> None:
    one, two = (nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(2))
    found = methods.create("metabalance", 2).backward([one + two, 10 * one + 0.1 * two], shared=[one, two]).weights
    ratio = math.sqrt(2 / 100.01)
    assert found.tolist() == pytest.approx([1, 0.7 * ratio + 0.3])
    assert [one.grad.item(), two.grad.item()] == about([4.990, 1.040])
    theirs = [1 + (0.7 / size + 0.3) * size for size in (10, 0.1)]
    assert theirs == pytest.approx([4.7, 1.73])


# -- directions from every coordinate of the task gradients -------------------------------------------------------------------------------


def test_db_mtl_heads_follow_their_own_loss() -> None:
    losses = tensor([0.01, 4.0]).requires_grad_()
    theirs = torch.autograd.grad(losses.log().sum(), losses)[0]
    assert theirs.tolist() == pytest.approx([100, 0.25])
    assert head_gradients("db_mtl", A, [0.01, 4.0]) == [1, 1]


def test_graddrop_draws_every_coordinate_for_itself() -> None:
    """Two tasks that disagree about everything, but whose coordinates sum to 0."""
    jacobian = tensor([[1, -1] * 20, [-1, 1] * 20])
    ours = linear.step(linear.create("graddrop", 2), jacobian)[0]
    assert {*ours.tolist()} == {1, -1}
    assert methods.card("graddrop").resolve({})["leak"] == 0.0
    sums = jacobian.sum(1, keepdim=True)
    kept = ((sums > 0) | (sums < 0)).double()  # one number a task, whatever was drawn
    theirs = ((0.5 * kept + 0.5) * jacobian).sum(0)
    assert not bool(theirs.any())


def test_graddrop_is_the_sum_on_average() -> None:
    balancer, total = linear.create("graddrop", 3), B.sum(0)
    drawn = torch.stack([balancer.direction(B, torch.ones(3)) for _ in range(4000)])
    theirs = drawn * (total.norm() / drawn.norm(dim=1, keepdim=True))
    assert linear.close(drawn.mean(0), total, 0.03)
    assert (theirs.mean(0).norm() / total.norm()).item() == pytest.approx(0.82, abs=0.01)


def test_excess_mtl_starts_with_equal_weights() -> None:
    large = B * 10
    theirs = (large.square() / (large.square() + 1e-7).sqrt()).sum(1).softmax(0)
    assert theirs.tolist() == pytest.approx([0, 0, 1], abs=1e-8)
    assert linear.close(direction("excess_mtl", large, eta=1.0), large.sum(0))


def test_moco_follows_mgda_and_no_softmax() -> None:
    """A softmax of numbers that sum to one leaves little of their differences, step after step."""
    balancer, theirs = linear.create("moco", 3, beta=1.0, gamma=0.3, decay=0.0), torch.full((3,), 1 / 3, dtype=torch.float64)
    cosines = linear.gramian(B / B.norm(dim=1, keepdim=True))  # gradients brought to the length of their losses, 1
    for _ in range(300):
        linear.step(balancer, 0.3 * B)
        theirs = (theirs - 0.1 * cosines @ theirs).softmax(0)
    assert balancer.shares.tolist() == pytest.approx(weights(linear.create("mgda", 3), [1, 1, 1], B).tolist(), abs=1e-6)
    assert balancer.shares.tolist() == about([0.458, 0.338, 0.203])
    assert theirs.tolist() == about([0.339, 0.329, 0.332])
