"""Whatever the parameters, losses, dtypes and devices look like, the update is the same one, in their form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from methods.base import Losses
from methods.contract import linear, nets
from methods.contract.inputs import gaussian, show
from methods.contract.outcome import Broken
from methods.contract.state import draws

SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 4), (2, 3, 2, 2), (1, 1), (0,))
VALUES = torch.tensor([2.0, 0.7, 1.3], dtype=torch.float64)
FORMS: dict[str, Callable[[list[Tensor]], Losses]] = {
    "a list": list,
    "a tuple": tuple,
    "a dict": lambda losses: {f"task {index}": loss for index, loss in enumerate(losses)},
    "a stack": torch.stack,
    "tensors of one element": lambda losses: [loss.reshape(1) for loss in losses],
}
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}
TASKS = (1, 2, 3, 10, 40)


def pieces() -> list[nn.Parameter]:
    """Parameters of all shapes; one of them with channels last."""
    found = [nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES]
    found[3] = nn.Parameter(found[3].detach().to(memory_format=torch.channels_last))
    return found


def split_losses(parameters: Sequence[Tensor], jacobian: Tensor) -> list[Tensor]:
    """The linear losses of J, over parameters of any shape."""
    rows = [torch.split(row, [p.numel() for p in parameters]) for row in jacobian]
    return [
        value + torch.stack([(part.view(p.shape) * p).sum() for part, p in zip(row, parameters, strict=True)]).sum()
        for value, row in zip(VALUES, rows, strict=True)
    ]


def any_parameters(name: str) -> None:
    parameters = pieces()
    jacobian = gaussian(3, sum(p.numel() for p in parameters))
    linear.backward(linear.create(name, 3), lambda: split_losses(parameters, jacobian), shared=parameters, last_layer=parameters)
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.shape != parameter.shape:
            raise Broken(f"a parameter of shape {tuple(parameter.shape)} got a gradient of {tuple(parameter.grad.shape)}")
    if draws(name):  # for every coordinate, it may be, and channels last are others in a row
        return
    found = torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in parameters])
    expected = linear.step(linear.create(name, 3), jacobian, VALUES)[0]
    if not linear.close(found, expected, 1e-9):
        raise Broken(f"over parameters of shapes {SHAPES} the update is {show(found)}; expected {show(expected)}, as over one vector")


def any_form(name: str) -> None:
    jacobian = gaussian(3, 6)
    expected = linear.step(linear.create(name, 3), jacobian, VALUES)[0]
    for what, form in FORMS.items():
        theta = linear.losses_of(jacobian)[0]
        linear.backward(linear.create(name, 3), partial(_formed, form, theta, jacobian), shared=[theta])
        assert theta.grad is not None
        if not linear.close(theta.grad, expected, 1e-9):
            raise Broken(f"of losses given as {what} the update is {show(theta.grad)}; expected {show(expected)}, as of others")


def _formed(form: Callable[[list[Tensor]], Losses], theta: Tensor, jacobian: Tensor) -> Losses:
    return form(linear.losses_at(theta, jacobian, VALUES))


def one_parameter(name: str) -> None:
    update = linear.direction(name, gaussian(3, 1))
    if update.shape != (1,) or not bool(update.isfinite().all()):
        raise Broken(f"over a single parameter the update is {show(update)}; expected one finite number")


def shapes(name: str) -> str:
    for check in (any_parameters, any_form, one_parameter):
        check(name)
    return ""


def tasks(name: str) -> str:
    for count in TASKS:
        balancer = linear.create(name, count)
        for step in (1, 2):
            update, weights = linear.step(
                balancer, gaussian(count, 12, seed=step), 0.5 + torch.rand(count, dtype=torch.float64, generator=_rng())
            )
            if not bool(update.isfinite().all()):
                raise Broken(f"with {count} tasks the update of step {step} is {show(update)}; expected finite numbers")
            if weights is not None and weights.shape != (count,):
                raise Broken(f"with {count} tasks a step tells {tuple(weights.shape)} weights; expected ({count},)")
    jacobian = gaussian(1, 4)
    update = linear.direction(name, jacobian)
    if not linear.close(linear.unit(update), linear.unit(jacobian[0]), 1e-9):
        raise Broken(f"with one task, whose gradient is {show(jacobian[0])}, the update is {show(update)}; expected the same direction")
    return ""


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def update(name: str, dtype: torch.dtype, device: str = "cpu", steps: int = 1) -> Tensor:
    """The last of some steps on a small network in this dtype: ``[P]`` over trunk and heads, in float64 on the host.

    In 16 bits the losses are all about 1: there, powers of large ones overflow by nobody's fault.

    Raises:
        Broken: a gradient has another dtype, device or shape than its parameter.
    """
    net = nets.build()
    if torch.finfo(dtype).bits == 16:
        net.targets = [target / target.square().mean().sqrt() for target in net.targets]
    net = net.to(dtype, device)
    balancer = linear.create(name, 3, **FACTS)
    for _ in range(steps):
        net.clear()
        nets.backward(balancer, net)
        linear.after_step(balancer, net.losses())
    for parameter in net.parameters():
        gradient = parameter.grad
        if gradient is not None and (gradient.dtype, gradient.device, gradient.shape) != (
            parameter.dtype,
            parameter.device,
            parameter.shape,
        ):
            what = f"{parameter.dtype} on {parameter.device}"
            raise Broken(f"a parameter in {what} got a gradient in {gradient.dtype} on {gradient.device}; expected the same")
    return nets.grads(net.parameters()).double().cpu()


def dtypes(name: str) -> str:
    """Float32 may turn what float64 gives by a twentieth: ties, as of losses that are all at their start, are broken by rounding."""
    expected = update(name, torch.float64)
    for dtype, tolerance in ((torch.float32, 0.05), (torch.bfloat16, None), (torch.float16, None)):
        found = update(name, dtype)
        if not bool(found.isfinite().all()):
            raise Broken(f"in {dtype} the update is {show(found)}; expected finite numbers")
        if tolerance is not None and not draws(name) and not linear.close(found, expected, tolerance):
            raise Broken(f"in {dtype} the update is {show(found)}; expected {show(expected)} to {tolerance:g}, as in float64")
    return ""


def no_gpu(name: str) -> str:
    return "" if torch.cuda.is_available() else "there is no CUDA device"


def devices(name: str) -> str:
    expected, found = update(name, torch.float64, steps=3), update(name, torch.float64, "cuda", steps=3)
    if not linear.close(found, expected, 1e-6):
        raise Broken(f"on a GPU the update is {show(found)}; expected {show(expected)}, as on the host")
    return ""
