"""The lines that the answer comes to, as they fit the loop that they are pasted into."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import methods
import tasks
from benchmark.advice.halving import Found
from benchmark.races import REFERENCE

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Loop:
    """What the lines must fit."""

    losses: int
    shared: str
    """What all tasks share, as Python."""
    named: bool = False
    """Whether the losses are a dict."""
    kinds: tuple[str, ...] = ()
    """Of the tasks, where the user has said them."""


def loop_of(problem: tasks.Problem, where: tasks.Locations) -> Loop:
    """What a problem's own model shares, by the names that it has there.

    Raises:
        TaskError: the problem cannot be opened.
    """
    session = problem.open(0, problem.card.batch_size, "cpu", where)
    kinds = tuple(task.kind for task in problem.card.tasks)
    named = isinstance(problem, tasks.LoopProblem) and problem.named_losses
    told = () if set(kinds) == {"objective"} else kinds
    return Loop(len(kinds), shared_as_code(session.model, session.shared()), named, told)


def shared_as_code(model: nn.Module, shared: Iterable[nn.Parameter]) -> str:
    """Python that gives these parameters of ``model``: ``model.trunk.parameters()``, or a list of several such and of single ones."""
    parts = list(_parts("model", model, {id(parameter) for parameter in shared}))
    if len(parts) == 1 and parts[0].endswith(".parameters()"):
        return parts[0]
    return f"[{', '.join('*' * part.endswith('.parameters()') + part for part in parts)}]"


def _parts(path: str, module: nn.Module, wanted: set[int]) -> Iterator[str]:
    """The largest modules of which everything is wanted, and single parameters; what is given once is not given again."""
    own = list(module.parameters())
    if not wanted & {id(parameter) for parameter in own}:
        return
    if all(id(parameter) in wanted for parameter in own):
        wanted -= {id(parameter) for parameter in own}
        yield f"{path}.parameters()"
        return
    for name, parameter in module.named_parameters(recurse=False):
        if id(parameter) in wanted:
            wanted.remove(id(parameter))
            yield _child(path, name)
    for name, child in module.named_children():
        yield from _parts(_child(path, name), child, wanted)


def _child(path: str, name: str) -> str:
    if name.isidentifier() and not keyword.iskeyword(name):
        return f"{path}.{name}"
    return f"{path}[{name}]" if name.isdecimal() else f"getattr({path}, {name!r})"


def lines_of_code(found: Found, loop: Loop) -> list[str]:
    """What to write in the loop."""
    use = found.verdict.use
    rate = found.rates[use]
    lines = [] if rate == found.learning_rate else [f"optimizer = torch.optim.Adam(model.parameters(), lr={rate:g})  # once"]
    total = f"sum(losses{'.values()' * loop.named})"
    if use == REFERENCE:
        return [*lines, f"{total}.backward()"]
    card, made = methods.card(use), methods.get(use) if ":" not in use else methods.Method
    facts = "".join(f", {fact}=[...]" for fact in card.needs)
    facts += f", kinds={list(loop.kinds)}" * bool(loop.kinds)
    several = ", evaluate=evaluate" if made.extra_batches else ""
    lines.append(f'balancer = methods.create("{use}", num_tasks={loop.losses}{facts})  # once')
    batches = methods.create(use, loop.losses, **dict.fromkeys(card.needs, [1.0] * loop.losses)).calibration_batches  # type: ignore[arg-type]
    if batches:
        lines.append(f"balancer.calibrate(before)  # once: losses of {batches} batches of the untrained model, [{batches}, {loop.losses}]")
    lines.append(f"balancer.backward(losses, shared={loop.shared}{several})  # what all tasks share; in place of {total}.backward()")
    if made.extra_batches:
        lines.append("# evaluate(k) gives the losses of the model as it is: k = 0 on this batch, k = 1, 2, ... on further ones")
    if made.reforward:
        lines.append("with torch.no_grad(): balancer.after_step(again)  # after optimizer.step(): the losses of the same batch, again")
    return lines
