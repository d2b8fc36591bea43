"""A problem from a plain training loop: a model, a function that gives its losses on a batch, and the data.

problem = tasks.from_loop(model=Net, losses=losses, train=loader, validation=held_out)

def losses(model, batch):             # as in the loop that you have
    x, kind, price = batch
    z = model.trunk(x)
    return {"kind": cross_entropy(model.kind(z), kind), "price": mse_loss(model.price(z), price)}
"""

from __future__ import annotations

import copy
import hashlib
import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import Evaluation, Metric, Problem, ProblemCard, Session, Split, Task, derive
from tasks.batches import Batches, moved, tensors
from tasks.errors import TaskError
from tasks.locations import Locations

if TYPE_CHECKING:
    from torch import Tensor, nn

Losses = Callable[[Any, Any], "Mapping[str, Tensor] | Sequence[Tensor]"]
Shared = Callable[[Any], "nn.Module | Iterable[nn.Parameter]"]

HASHED = 64
"""Rows of each split that the fingerprint looks at, spread over all of them: hashing everything would cost a pass."""


def from_loop(
    *,
    model: Callable[[], nn.Module] | nn.Module,
    losses: Losses,
    train: Any,
    validation: Any,
    test: Any = None,
    shared: Shared | None = None,
    kinds: Sequence[str] | None = None,
    steps: int = 1000,
    learning_rate: float = 1e-3,
    name: str = "my_loop",
    version: int = 1,
) -> LoopProblem:
    """A :class:`tasks.Problem` of what a training loop has at hand.

    Args:
        model: a class or function that makes a fresh model, so that every seed has its own initial weights. A model that is made already
            is copied: then seeds differ in the order of the data alone.
        losses: ``losses(model, batch)``, the T scalar losses of a batch, unweighted, as a dict by name or a sequence.
        train, validation, test: a ``DataLoader`` over a data set that can be indexed (its batch size and ``collate_fn`` are kept, the
            order is drawn anew for each seed), or a list of batches. Without ``test`` there can be tuning and advice, but no evaluation.
        shared: what of the model all tasks share, as ``lambda model: model.trunk``; by default what more than one loss reaches.
        kinds: ``classification`` or ``regression`` for each loss, for the methods that ask.
        steps, learning_rate: of a whole run, by Adam.
        name: of the problem, in records.
        version: raise it when the loop does something else than it did.

    Raises:
        TaskError: an argument that cannot be used; what only the first batch shows is said when the problem is first looked at.
    """
    if not callable(losses):
        raise TaskError(f"from_loop: losses is {losses!r}; expected a function losses(model, batch)")
    if steps < 1 or not learning_rate > 0:
        raise TaskError(f"from_loop: steps is {steps!r} and learning_rate {learning_rate!r}; expected at least 1, and above 0")
    return LoopProblem(
        model,
        losses,
        Batches(train, "train"),
        Batches(validation, "validation"),
        None if test is None else Batches(test, "test"),
        shared,
        kinds,
        steps,
        learning_rate,
        name,
        version,
    )


class LoopProblem(Problem):
    """What :func:`from_loop` makes. Its metrics are its losses."""

    embedded = False  # its data may change between two runs: every trial looks at the fingerprint

    def __init__(
        self, model: Any, losses: Losses, train: Batches, validation: Batches, test: Batches | None, shared: Shared | None,
        kinds: Sequence[str] | None, steps: int, learning_rate: float, name: str, version: int,
    ) -> None:  # fmt: skip
        self._model, self.losses, self.train, self.validation, self.test = model, losses, train, validation, test
        self._shared, self._kinds = shared, kinds
        self._steps, self._learning_rate, self._name, self._version = steps, learning_rate, name, version

    @property
    def fresh(self) -> bool:
        """Whether every seed has initial weights of its own."""
        import torch

        return not isinstance(self._model, torch.nn.Module)

    @property
    def named_losses(self) -> bool:
        """Whether the losses come as a dict."""
        return isinstance(self.losses(self.model(0), self.train.of(range(self.train.size))), Mapping)

    @cached_property
    def card(self) -> ProblemCard:  # type: ignore[override]
        """Found by taking the losses of one batch.

        Raises:
            TaskError: the model cannot be made, the user's function fails, or the losses are not at least two scalars.
        """
        names = list(self.first(self.model(0), "cpu"))
        kinds = list(self._kinds or ["objective"] * len(names))
        if len(kinds) != len(names):
            raise TaskError(f"from_loop: {len(kinds)} kinds for {len(names)} losses; expected one each")
        return ProblemCard(
            name=self._name,
            version=self._version,
            summary=f"a training loop with {len(names)} losses: {', '.join(names)}",
            source="the user's own",
            licence="not said",
            tasks=tuple(Task(name, kind, name, (Metric("loss"),)) for name, kind in zip(names, kinds, strict=True)),  # type: ignore[arg-type]
            model="the user's own" if self.fresh else "the user's own, with the same initial weights for every seed",
            steps=self._steps,
            batch_size=self.train.size,
            learning_rate=self._learning_rate,
        )

    def fingerprint(self, where: Locations | None = None) -> str:
        """Hash of rows of the data, spread over all of it, and of how many there are."""
        count = len(self.train)
        digest = hashlib.blake2b(f"{count} {len(self.validation)} {self.train.size}".encode(), digest_size=10)
        for data in filter(None, (self.train, self.validation, self.test)):
            for row in sorted({i * len(data) // HASHED for i in range(HASHED)}):
                for tensor in tensors(data.of([row])):
                    digest.update(tensor.detach().cpu().contiguous().view(-1).double().numpy().tobytes())
        return digest.hexdigest()

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        return LoopSession(self, seed, batch_size, device)

    def model(self, seed: int) -> nn.Module:
        """The model of a seed. Only the CPU's generator is seeded, and put back.

        Raises:
            TaskError: making it fails, or makes something else.
        """
        import torch

        if isinstance(self._model, torch.nn.Module):
            return copy.deepcopy(self._model)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "from_loop", "weights"))
            try:
                made = self._model()
            except TypeError as error:
                raise TaskError(f"from_loop: model() fails: {error}; expected a class or function without arguments") from error
        if not isinstance(made, torch.nn.Module):
            raise TaskError(f"from_loop: model() gives {type(made).__name__}; expected a torch.nn.Module")
        return made

    def named(self, model: nn.Module, batch: Any, device: str) -> dict[str, Tensor]:
        """The losses of a batch by name.

        Raises:
            TaskError: not at least two scalar tensors.
        """
        import torch

        given = self.losses(model, moved(batch, device))
        if isinstance(given, torch.Tensor) or not isinstance(given, (Mapping, Sequence)):
            raise TaskError(f"from_loop: losses(model, batch) gives {type(given).__name__}; expected a dict or list of scalars, one a task")
        found = dict(given) if isinstance(given, Mapping) else {f"loss_{i}": loss for i, loss in enumerate(given)}
        for name, loss in found.items():
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.is_floating_point():
                what = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
                raise TaskError(f"from_loop: loss {name!r} is of {what}; expected a scalar tensor")
            if not isinstance(name, str) or "/" in name or not name:
                raise TaskError(f"from_loop: a loss is called {name!r}; expected a name without '/'")
        if len(found) < 2:
            raise TaskError(
                f"from_loop: losses(model, batch) gives {len(found)} loss; expected two or more: with one there is nothing to balance"
            )
        return found

    def first(self, model: nn.Module, device: str) -> dict[str, Tensor]:
        """The losses of the first batch by name.

        Raises:
            TaskError: not at least two scalars, or the user's code fails; in one line, with the place in it.
        """
        import torch

        try:
            return self.named(model, self.train.of(range(self.train.size)), device)
        except (TaskError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise TaskError(f"from_loop: the losses of a batch cannot be taken: {_told(error)}") from error

    def shared(self, model: nn.Module, device: str) -> list[nn.Parameter]:
        """The parameters that the tasks share.

        Raises:
            TaskError: there are none.
        """
        import torch

        if self._shared is not None:
            given = self._shared(model)
            found = list(given.parameters()) if isinstance(given, torch.nn.Module) else list(given)
        else:
            parameters = [p for p in model.parameters() if p.requires_grad]
            with torch.random.fork_rng(devices=[]):
                losses = list(self.first(model, device).values())
            reached = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses if loss.requires_grad]
            found = [p for i, p in enumerate(parameters) if sum(each[i] is not None for each in reached) > 1]
            if not found and len(reached) < 2:
                raise TaskError(
                    f"from_loop: {len(reached)} of {len(losses)} losses require a gradient; expected two or more that do: "
                    "are they detached, constant, or taken under torch.no_grad()?"
                )
        if not found:
            raise TaskError(
                "from_loop: no parameter is reached by two losses; expected a shared trunk: from_loop(shared=lambda model: model.trunk)"
            )
        return found


class LoopSession(Session):
    """One seed of a :class:`LoopProblem`."""

    def __init__(self, problem: LoopProblem, seed: int, batch_size: int, device: str) -> None:
        self.problem, self._seed, self._device = problem, seed, device
        self.model = problem.model(seed).to(device).train()
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        self._shared = problem.shared(self.model, device)
        for name, buffer in self.model.named_buffers():
            buffer.data.copy_(buffers[name])  # looking for what is shared was no training step
        self._rows, self._size = len(problem.train), min(batch_size, len(problem.train))
        self._orders: dict[int, tuple[int, list[int]]] = {}
        tasks = len(problem.card.tasks)
        self.initial_losses = self.prior_losses = (math.nan,) * tasks
        self.events = {}

    def shared(self) -> Sequence[nn.Parameter]:
        return self._shared

    def last_layer(self) -> Sequence[nn.Parameter]:
        """The last shared matrix and what follows it."""
        last = max((i for i, p in enumerate(self._shared) if p.dim() > 1), default=0)
        return self._shared[last:]

    def batch(self, step: int, stream: int = 0) -> Any:
        import numpy as np

        epoch, index = divmod(step, self._rows // self._size)
        known, order = self._orders.get(stream, (-1, []))
        if known != epoch:
            order = np.random.default_rng(derive(self._seed, "from_loop", "order", stream, epoch)).permutation(self._rows).tolist()
            self._orders[stream] = epoch, order
        return self.problem.train.of(order[index * self._size : (index + 1) * self._size])

    def losses(self, batch: Any) -> tuple[list[Tensor], Tensor | None]:
        return self._ordered(batch), None

    def _ordered(self, batch: Any) -> list[Tensor]:
        """The losses in the order of the card, whatever order the user's dict has this time.

        Raises:
            TaskError: other names than the card's.
        """
        found = self.problem.named(self.model, batch, self._device)
        names = [task.name for task in self.problem.card.tasks]
        if set(found) != set(names):
            raise TaskError(f"from_loop: losses are named {', '.join(found)}, but the first batch named them {', '.join(names)}")
        return [found[name].reshape(()) for name in names]

    def evaluate(self, split: Split) -> Evaluation:
        import torch

        data = self.problem.validation if split == "validation" else self.problem.test
        if data is None:
            raise TaskError("from_loop was given no test data, so that nothing can be evaluated on it: from_loop(test=...)")
        training = [module for module in self.model.modules() if module.training]
        state = torch.get_rng_state()
        sums, rows = [0.0] * len(self.initial_losses), 0
        self.model.eval()
        try:
            with torch.no_grad():
                for batch, count in data.in_order():
                    sums = [total + count * float(loss) for total, loss in zip(sums, self._ordered(batch), strict=True)]
                    rows += count
        finally:
            torch.set_rng_state(state)
            for module in training:
                module.training = True
        losses = tuple(total / rows for total in sums)
        return Evaluation(losses, {f"{task.name}/loss": loss for task, loss in zip(self.problem.card.tasks, losses, strict=True)})


def _told(error: Exception) -> str:
    """An error of the user's code with the file and line that raised it, which is the last of the way there outside installed packages."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    last = frames[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({Path(last.filename).name}, line {last.lineno})"
