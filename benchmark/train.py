"""The training loop that every method gets: same data, same initial weights, same optimizer, same evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import torch
from msgspec import UNSET
from torch import Tensor

import methods
import tasks
from benchmark.conflict import conflict
from benchmark.records import Point, TrialSpec


class Diverged(ArithmeticError):
    """A loss or metric is not finite; the message says where and when."""


@dataclass
class Run:
    """What a run has to show so far, so that one that fails half-way still has a record. Seconds of wall clock."""

    spec: TrialSpec
    card: tasks.ProblemCard
    balancer: methods.Method | None = None
    steps: int = 0
    train: float = 0.0
    method: float = 0.0
    evaluation: float = 0.0
    compilation: float | None = None
    """None where nothing is ever compiled."""
    curve: list[Point] = field(default_factory=list)
    selected_step: int | None = None
    validation: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    watch: Callable[[int], None] | None = None
    """Told the number of steps done after every evaluation."""

    best: float = math.inf
    """Score of the selected step."""
    kept: dict[str, Tensor] = field(default_factory=dict)
    """The model of the selected step, where later ones may have to give way to it."""

    def train_model(self, session: tasks.Session) -> None:
        """Trains, evaluates on the way, and scores the selected model on the test split if the role is ``eval``.

        Raises:
            Diverged: a loss of a trained task, or a metric, is not finite. The step that saw it has changed nothing.
        """
        spec = self.spec
        balancer = self.begin(session)
        model, shared, last_layer = session.model, list(session.shared()), list(session.last_layer())
        parameters = list(model.parameters())
        optimizer = optimizer_of(spec, parameters)
        everything = len(balancer.tasks) == balancer.num_tasks
        since: list[methods.Step] = []  # steps since the last evaluation: averaged then, on their device, instead of at every step
        for step in range(1, spec.steps + 1):
            start = perf_counter()
            batch = session.batch(step - 1)
            before = random_state(parameters) if balancer.reforward or balancer.extra_batches else []
            losses, representation = session.losses(batch)
            forward = perf_counter()
            evaluate = partial(losses_of, session, spec.seed, step - 1, before) if balancer.extra_batches else None
            outcome = balancer.backward(losses, shared=shared, representation=representation, last_layer=last_layer, evaluate=evaluate)
            backward = perf_counter()
            seen = outcome.losses if everything else outcome.losses[list(balancer.tasks)]
            if not math.isfinite(float(seen.sum())):
                raise diverged(step, outcome.losses)
            optimizer.step()
            for parameter in parameters:
                parameter.grad = None  # what zero_grad() does, at a tenth of its cost
            if spec.halve_every and step % spec.halve_every == 0:
                for group in optimizer.param_groups:
                    group["lr"] /= 2
            since.append(outcome)
            taken = backward - forward
            if balancer.reforward:
                stepped = perf_counter()
                balancer.after_step(losses_again(session, batch, before))
                taken += perf_counter() - stepped
            self.steps = step
            self.method += taken
            self.train += perf_counter() - start - taken
            if self.due:
                weights = [outcome.weights for outcome in since if outcome.weights is not None]
                gramians = [outcome.gramian for outcome in since if outcome.gramian is not None]
                self.evaluate(session, torch.stack([each.losses for each in since]), torch.stack(weights) if weights else None, gramians)
                since.clear()
        self.finish(session)

    def begin(self, session: tasks.Session) -> methods.Method:
        """Builds the method, and calibrates it where it asks for that."""
        self.balancer = balancer = self._create(session)
        if balancer.calibration_batches:
            balancer.calibrate(*untrained_losses(session, balancer.calibration_batches))
        return balancer

    @property
    def due(self) -> bool:
        """Whether the steps done so far end with an evaluation."""
        return self.steps % self.spec.eval_every == 0 or self.steps == self.spec.steps

    def evaluate(self, session: tasks.Session, losses: Tensor, weights: Tensor | None, gramians: Sequence[Tensor] = ()) -> None:
        """Evaluates the model after the steps done so far, and keeps it if it is the best yet.

        ``losses`` and ``weights`` ``[K, T]`` are those of the K steps since the evaluation before, ``gramians`` those that were looked at.

        Raises:
            Diverged: a metric is not finite.
        """
        spec = self.spec
        score, metrics = self._evaluate(session, losses, weights, gramians)
        if self.watch:
            self.watch(self.steps)
        if spec.selection == "last" or self.selected_step is None or score < self.best:
            self.best, self.selected_step, self.validation = score, self.steps, metrics
            if spec.selection == "best" and spec.role == "eval" and self.steps < spec.steps:
                self.kept = {name: value.clone() for name, value in session.model.state_dict().items()}

    def finish(self, session: tasks.Session) -> None:
        """Scores the selected model on the test split if the role is ``eval``.

        Raises:
            Diverged: a metric is not finite.
        """
        if self.spec.role == "eval":
            if self.selected_step != self.spec.steps:
                session.model.load_state_dict(self.kept)
            start = perf_counter()
            self.test = self._finite(self._relevant(session.evaluate("test").metrics), "test")
            self.evaluation += perf_counter() - start

    def _create(self, session: tasks.Session) -> methods.Method:
        return methods.create(
            self.spec.method,
            len(self.card.tasks),
            seed=tasks.derive(self.spec.seed, "method"),
            kinds=[task.kind for task in self.card.tasks],
            initial_losses=_known(session.initial_losses),
            prior_losses=_known(session.prior_losses),
            **self.spec.hyperparameters,  # type: ignore[arg-type]
        )

    def _evaluate(
        self, session: tasks.Session, losses: Tensor, weights: Tensor | None, gramians: Sequence[Tensor]
    ) -> tuple[float, dict[str, float]]:
        """Adds a point to the curve, after these steps; returns the score that selection minimises and the metrics."""
        start = perf_counter()
        result = session.evaluate("validation")
        score, metrics = self._score(result.losses, session.prior_losses), self._relevant(result.metrics)
        cosine, conflicts = conflict(gramians) or (UNSET, UNSET)
        self.curve.append(
            Point(
                step=self.steps,
                train_losses=finite(losses.mean(0).tolist()),
                validation_losses=finite(result.losses),
                weights=finite([] if weights is None else weights.mean(0).tolist()),
                score=finite([score])[0],
                seconds=self.train + self.method,
                cosine=cosine,
                conflicts=conflicts,
                metrics=dict(zip(metrics, finite(list(metrics.values())), strict=True)),
            )
        )
        self.evaluation += perf_counter() - start
        return score, self._finite(metrics, "validation")

    def _score(self, losses: Sequence[float], priors: Sequence[float]) -> float:
        assert self.balancer is not None  # created before the first step
        return score_of(losses, priors, self.balancer.tasks)

    def _relevant(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metrics of the trained tasks, and those of the whole problem if all of it was trained."""
        assert self.balancer is not None  # created before the first step
        names = {self.card.tasks[t].name for t in self.balancer.tasks}
        whole = len(names) == len(self.card.tasks)
        return {key: value for key, value in metrics.items() if (key.split("/")[0] in names if "/" in key else whole)}

    def _finite(self, metrics: dict[str, float], split: str) -> dict[str, float]:
        """The same metrics. Raises Diverged where one is not a finite number."""
        for key, value in metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"step {self.steps}: {split} metric {key} is {value}")
        return metrics


def score_of(losses: Sequence[float], priors: Sequence[float], trained: Sequence[int]) -> float:
    """Mean over the trained tasks of the loss in units of the best constant prediction (as it is where a problem has none)."""
    ratios = [losses[t] / priors[t] if priors[t] > 0 else losses[t] for t in trained]
    return sum(ratios) / len(ratios)


def optimizer_of(spec: TrialSpec, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Adam as its authors publish it, or plain gradient steps, for papers that take them."""
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=spec.learning_rate)
    return torch.optim.Adam(parameters, lr=spec.learning_rate, fused=True)


@torch.no_grad()
def untrained_losses(session: tasks.Session, batches: int) -> tuple[Tensor, None]:
    """Losses ``[k, T]`` of the first k training batches, in eval mode, with the model and the random state left as they were."""
    training = session.model.training
    session.model.eval()
    state = torch.get_rng_state()
    try:
        return torch.stack([torch.stack(session.losses(session.batch(step))[0]) for step in range(batches)]), None
    finally:
        torch.set_rng_state(state)
        session.model.train(training)


@torch.no_grad()
def losses_again(session: tasks.Session, batch: Any, random: list[Tensor]) -> list[Tensor]:
    """Losses of a batch that the model was just trained on, in the same mode and with the dropout masks of then.

    ``random`` is the :func:`random_state` of before the first forward pass. Buffers (BatchNorm's statistics) and the random state are
    left as they were.
    """
    with no_trace(session, random):
        return session.losses(batch)[0]


def losses_of(session: tasks.Session, seed: int, step: int, random: list[Tensor], k: int) -> list[Tensor]:
    """Losses, with their graph, of the k-th batch of a step with the model as it now is; for a method that needs ``extra_batches``.

    k = 0 is the step's own batch, with the dropout masks of its first forward pass, before which the random state was ``random``. The
    others have masks of their own, the same at every call: batches that share their masks would not be independent.
    """
    if k:
        random = seeded_random_state(session.model.parameters(), tasks.derive(seed, "training", step, k))
    with no_trace(session, random):
        return session.losses(session.batch(step, k))[0]


@contextmanager
def no_trace(session: tasks.Session, random: list[Tensor]) -> Iterator[None]:
    """A forward pass inside starts from this random state; afterwards that of now, and all buffers, are back.

    Buffers are put back by ``.data``: autograd would otherwise refuse the graphs of before.
    """
    model = session.model
    kept, now = [(buffer, buffer.clone()) for buffer in model.buffers()], random_state(model.parameters())
    set_random_state(model.parameters(), random)
    try:
        yield
    finally:
        set_random_state(model.parameters(), now)
        for buffer, value in kept:
            buffer.data.copy_(value)


def random_state(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The state of the global generators that a model with these parameters draws from: the CPU's, then its GPUs'."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in _gpus(parameters))]


def seeded_random_state(parameters: Iterable[Tensor], seed: int) -> list[Tensor]:
    """What :func:`random_state` gives after seeding."""
    return [torch.Generator(device).manual_seed(seed).get_state() for device in [torch.device("cpu"), *_gpus(parameters)]]


def set_random_state(parameters: Iterable[Tensor], state: Sequence[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for device, each in zip(_gpus(parameters), state[1:], strict=True):
        torch.cuda.set_rng_state(each, device)


def _gpus(parameters: Iterable[Tensor]) -> list[torch.device]:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return []  # without asking every parameter
    return list(dict.fromkeys(p.device for p in parameters if p.device.type == "cuda"))


def finite(values: Sequence[float]) -> list[float | None]:
    """Numbers for JSON: what is not finite becomes null."""
    return [value if math.isfinite(value) else None for value in values]


def _known(facts: tuple[float, ...]) -> tuple[float, ...] | None:
    return None if any(math.isnan(fact) for fact in facts) else facts


def diverged(step: int, losses: Tensor) -> Diverged:
    """What to raise where the losses ``[T]`` that a step (counted from 1) has seen are not finite."""
    return Diverged(f"step {step}: losses are {_shown(losses)}")


def _shown(values: Tensor) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values.tolist()) + "]"
