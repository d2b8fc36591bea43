"""A run can be saved, copied and continued in the middle, and never touches the global random state."""

import copy
import io

import pytest
import torch
from torch import Tensor

import methods
from tests import linear
from tests.inputs import gaussian

NAMES = methods.names()
FACTS = {"initial_losses": [3.0, 1.0, 0.2], "prior_losses": [2.0, 0.5, 1.0]}


def sequence(start: int, stop: int) -> list[tuple[Tensor, Tensor]]:
    return [(gaussian(3, 5, seed=k), 0.1 + gaussian(1, 3, seed=1000 + k)[0].abs()) for k in range(start, stop)]


def run(balancer: methods.Method, start: int, stop: int) -> Tensor:
    return torch.stack([linear.step(balancer, *given)[0] for given in sequence(start, stop)])


def create(name: str, seed: int = 3) -> methods.Method:
    return linear.create(name, 3, seed=seed, **FACTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_continues_identically_in_a_fresh_object(name: str) -> None:
    whole = create(name)
    run(whole, 0, 5)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    expected = run(whole, 5, 10)
    file.seek(0)
    fresh = create(name, seed=99)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(run(fresh, 5, 10), expected)


@pytest.mark.parametrize("name", NAMES)
def test_loading_into_a_used_object_forgets_what_it_saw(name: str) -> None:
    whole, other = create(name), create(name, seed=4)
    run(whole, 0, 5)
    run(other, 20, 23)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(run(other, 5, 10), run(whole, 5, 10))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_continues_identically_and_apart(name: str) -> None:
    whole = create(name)
    run(whole, 0, 5)
    twin = copy.deepcopy(whole)
    expected = run(whole, 5, 10)
    assert torch.equal(run(twin, 5, 10), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_and_the_global_generator_is_untouched(name: str) -> None:
    before = torch.get_rng_state()
    first = run(create(name, seed=0), 0, 3)
    torch.rand(1)
    torch.set_rng_state(before)
    assert torch.equal(run(create(name, seed=0), 0, 3), first)
    assert torch.equal(torch.get_rng_state(), before)
    if methods.card(name).randomised:
        assert not torch.equal(run(create(name, seed=1), 0, 3), first)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_names_is_saved(name: str) -> None:
    jacobian, values = sequence(0, 1)[0]
    balancer = create(name)

    def named(order: list[int]) -> Tensor:
        theta, losses = linear.losses_of(jacobian, values)

        def losses_now() -> dict[str, Tensor]:
            now = linear.losses_at(theta, jacobian, values)
            return {f"task {t}": now[t] for t in order}

        linear.backward(balancer, losses_now, shared=[theta])
        linear.after_step(balancer, {f"task {t}": losses[t] for t in order})
        return theta.grad

    named([0, 1, 2])
    state = copy.deepcopy(balancer.state_dict())
    expected = named([2, 0, 1])
    balancer = create(name)
    balancer.load_state_dict(state)
    assert torch.equal(named([1, 2, 0]), expected)


@pytest.mark.parametrize("name", [n for n in NAMES if methods.card(n).family == "gramian"])
def test_the_state_of_a_gramian_method_stays_in_float64_on_the_host(name: str) -> None:
    balancer = create(name)
    dtypes = {key: buffer.dtype for key, buffer in balancer.named_buffers()}
    torch.nn.ModuleList([balancer]).half()
    assert {key: buffer.dtype for key, buffer in balancer.named_buffers()} == dtypes
