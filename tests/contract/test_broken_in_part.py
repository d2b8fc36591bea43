"""Checks are made of smaller ones: each of these can fail too, by a fault that the check's other parts would not see."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods.base import Losses
from methods.contract import Broken, cards, claims, derivatives, edges, manners, shapes, state
from methods.contract.inputs import INPUTS

Loss, Gramian, Jacobian = methods.LossMethod, methods.GramianMethod, methods.JacobianMethod
FAMILIES: dict[type[methods.Method], str] = {Loss: "loss", Gramian: "gramian", Jacobian: "jacobian"}
FAULTS: list[tuple[Callable[[str], object], str, type[methods.Method], dict[str, Any], dict[str, Any]]] = []


def fault(part: Callable[[str], object], message: str, kind: type[methods.Method], body: dict[str, Any], **card: Any) -> None:
    FAULTS.append((part, message, kind, body, card))


def weights(change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Those of the method, made of the diagonal of G."""
    return {"weights": lambda self, gramian, losses: change(gramian.diagonal())}


def direction(change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"direction": lambda self, jacobian, losses: change(jacobian)}


def objective(change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"objective": lambda self, losses: change(losses)}


def around(
    before: Callable[[Any, Losses, list[nn.Parameter]], Losses] = lambda method, losses, shared: losses,
    after: Callable[[methods.Step, list[nn.Parameter]], methods.Step] = lambda step, shared: step,
) -> dict[str, Any]:
    """A method of root norms that does something before its step, or after."""

    def backward(self: Any, losses: Losses, *, shared: Any, **given: Any) -> methods.Step:
        shared = list(shared)
        return after(Gramian.backward(self, before(self, losses, shared), shared=shared, **given), shared)

    return {**weights(lambda squares: squares**-0.25), "backward": backward}


def without_gradients(step: methods.Step, shared: list[nn.Parameter]) -> methods.Step:
    for parameter in shared:
        parameter.grad = None
    return step


def filled(step: methods.Step, shared: list[nn.Parameter]) -> methods.Step:
    for parameter in shared:
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.nan_to_num()
    return step


def thawed(method: Any, losses: Losses, shared: list[nn.Parameter]) -> Losses:
    for parameter in shared:
        parameter.requires_grad_(True)
    return losses


def drawn(method: Any, losses: Losses, shared: list[nn.Parameter]) -> Losses:
    torch.rand(1, generator=method.generator)
    return losses


def seen(method: Any, losses: Losses, shared: list[nn.Parameter]) -> Losses:
    method.seen.add_(1)
    return losses


def twice_if(kind: type) -> Callable[[Any, Losses, list[nn.Parameter]], Losses]:
    def twice(method: Any, losses: Any, shared: list[nn.Parameter]) -> Losses:
        if not isinstance(losses, kind):
            return losses  # type: ignore[no-any-return]
        return {key: 2 * loss for key, loss in losses.items()} if isinstance(losses, dict) else [2 * loss for loss in losses]

    return twice


def vain(losses: Any) -> Losses:
    return [loss if loss.requires_grad else loss.clone().requires_grad_() for loss in losses]


def unwilling(method: Any, losses: Any, shared: list[nn.Parameter]) -> Losses:
    raise methods.MethodError("not so")


COUNTER = {"setup": lambda self: self.register_buffer("seen", torch.zeros((), dtype=torch.float64))}


def counting(losses: Tensor, method: Any) -> Tensor:
    method.seen.add_(1)
    return losses.sum()


def by_hand(
    scale: Tensor | float = 1.0, dtype: torch.dtype | None = None, count: str = ""
) -> Callable[..., tuple[Tensor, Sequence[Tensor]]]:
    def written(self: Any, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        if count:
            self.count(count)
        return (torch.ones_like(losses) * scale).to(dtype or losses.dtype), ()

    return written


fault(edges.existing_gradient, "became None", Gramian, around(after=without_gradients))
fault(edges.gradient_not_finite, "with a gradient of nan the update is", Gramian, around(after=filled))
fault(edges.gradient_not_finite, "with a gradient of nan, seen of its state_dict", Gramian, {**around(seen), **COUNTER})
fault(edges.gradient_not_finite, "draws from its generator", Gramian, around(drawn))
fault(edges.nothing_shared, "say otherwise", Gramian, around(after=lambda step, shared: replace(step, weights=step.weights * 2)))
fault(
    edges.no_graph, "no error was raised; expected: no loss requires", Loss,
    {**objective(Tensor.sum), "backward": lambda self, losses, **given: Loss.backward(self, vain(losses), **given)},
)  # fmt: skip
fault(edges.no_graph, "the error says not so; expected: no loss requires", Gramian, around(unwilling))
fault(edges.stays_finite, "the weights of step 1 are", Gramian, around(after=lambda step, shared: replace(step, weights=step.weights / 0)))
fault(edges.loss_without_graph, "a loss that is a constant", Jacobian, direction(lambda rows: (rows / rows.norm(dim=1)[:, None]).mean(0)))
fault(edges.one_task, "with one task", Jacobian, direction(lambda rows: rows[-1] - 2 * (len(rows) == 1) * rows[0]))
fault(manners.leaves_others, "a frozen parameter got the gradient", Gramian, around(after=filled))
fault(manners.leaves_others, "changes which parameters require a gradient", Gramian, around(thawed))
fault(manners.plain_heads, "the head of task 0 got the gradient", Gramian, around(twice_if(list)))
fault(shapes.any_form, "of losses given as a dict", Gramian, around(twice_if(dict)))
fault(shapes.one_parameter, "over a single parameter", Jacobian, direction(lambda rows: rows.mean(0) / (rows.shape[1] - 1)))
fault(shapes.tasks, "with one task", Jacobian, direction(lambda rows: rows[-1] - 2 * (len(rows) == 1) * rows[0]))
fault(shapes.dtypes, "in torch.float32 the update", Loss, objective(lambda losses: losses.sum() * (1 + (losses.dtype == torch.float32))))
fault(lambda name: claims.simplex(name, INPUTS["random"]), "tell no weights", Jacobian, direction(lambda rows: rows.mean(0)))
fault(lambda name: claims.simplex(name, INPUTS["random"]), "none below 0", Gramian, weights(lambda squares: -squares / squares.sum()))
fault(
    lambda name: claims.simplex(name, INPUTS["random"]),
    "with sum 2; expected 1",
    Gramian,
    weights(lambda squares: 2 * squares / squares.sum()),
)
fault(
    lambda name: claims.permutation_equivariant(name, INPUTS["random"]), "in the order", Gramian, weights(lambda squares: squares.cumsum(0))
)
fault(state.stays_wide, "made seen of its state torch.float16", Gramian, {**around(), **COUNTER, "_apply": nn.Module._apply})
fault(
    state.stays_wide,
    "made narrower with the model that it is part of: the update of step 1",
    Loss,
    {
        **COUNTER,
        "objective": lambda self, losses: losses.sum() * (1 + self.seen),
        "_apply": lambda self, fn, recurse=True: (self.seen.add_(1), self)[1],
    },
)
fault(
    derivatives.derivatives,
    "in torch.float64 are in torch.float16",
    Loss,
    {**objective(Tensor.sum), "derivatives": by_hand(dtype=torch.half)},
)
fault(derivatives.derivatives, "counts {'gave_up': 1}", Loss, {**objective(Tensor.sum), "derivatives": by_hand(count="gave_up")})
fault(
    derivatives.derivatives, "leaves seen at", Loss,
    {**COUNTER, "objective": lambda self, losses: counting(losses, self), "derivatives": by_hand()},
)  # fmt: skip
fault(lambda name: cards.words(methods.card(name)), "arxiv on its card is", Gramian, around(), arxiv="at home")
fault(lambda name: cards.words(methods.card(name)), "year on its card is 1805", Gramian, around(), year=1805)


@pytest.mark.parametrize(("part", "message", "kind", "body", "card"), FAULTS, ids=[each[1] for each in FAULTS])
def test_a_part_of_a_check_fails_by_itself(
    part: Callable[[str], object], message: str, kind: type[methods.Method], body: dict[str, Any], card: dict[str, Any], forget: None
) -> None:
    fields = {"title": "t", "paper": "p", "year": 2026, "equation": "e", "family": FAMILIES[kind], **card}
    methods.register(methods.Card(name="faulty", version=1, **fields))(type("Faulty", (kind,), body))
    with pytest.raises(Broken) as broken:
        part("faulty")
    assert message in str(broken.value)
