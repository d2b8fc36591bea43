"""Trains the seeds of one block in one pass, each with its own data, method and record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

import methods
import tasks
from benchmark.train import Run, diverged
from benchmark.vectorized import adam, graphs, passes
from benchmark.vectorized.balance import ASK, ON_HOST
from benchmark.vectorized.stack import Batches, Layout, forward_of
from benchmark.vectorized.support import check_model, kind_of

TOLERANCE = 1e-3
"""Relative: the two ways of computing the losses of a seed differ by 1e-6, and by far more where they are not those of the seed."""


@dataclass
class Seat:
    """A seed that is trained: its run, its session, and the error that ended it."""

    run: Run
    session: tasks.Session
    error: Exception | None = None


@dataclass
class Note:
    """What there is to say of a pass, for the records of its seeds."""

    compile_seconds: float = 0.0
    trouble: str = ""
    """Why its step ran uncompiled."""


def train_together(seats: Sequence[Seat], together: int) -> Note:
    """Trains and evaluates what :meth:`benchmark.train.Run.train_model` trains and evaluates, for all these seeds of one block.

    A slot of the block whose seed is not asked for computes along, on the numbers of a neighbour, and nothing becomes of it: what a seed
    computes does not depend on what stands in the other slots, only on how many there are. A seed that ends in an error, a divergence among
    them, keeps it and drops out; the others go on.

    Raises:
        Unsupported: the network or the method does not allow it.
        RuntimeError: the session's losses are not what the problem promised of them.
    """
    for seat in seats:
        with _own(seat):
            seat.run.begin(seat.session)
    if all(seat.error for seat in seats):
        return Note()
    with torch.no_grad():
        training = _Pass(seats, together)
        note = training.train()
    for seat in training.alive.values():
        with _own(seat):
            seat.run.finish(seat.session)
    return note


class _Pass:
    """The parameters and moments ``[S, P]`` of a block, a slot a seed, and who is still training."""

    def __init__(self, seats: Sequence[Seat], together: int) -> None:
        some = next(seat for seat in seats if seat.error is None)
        self.spec, balancer = some.run.spec, _balancer(some)
        check_model(self.spec.problem, some.session.model)
        self.kind = kind_of(balancer)
        self.trained, self.num_tasks = list(balancer.tasks), balancer.num_tasks
        self.layout = Layout(some.session)
        self.seats = {seat.run.spec.seed % together: seat for seat in seats}
        self.sessions = [self.seats.get(slot, some).session for slot in range(together)]
        self.rows = torch.stack([self.layout.row(session.model) for session in self.sessions])
        self.first, self.second = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        self.batches = Batches(self.sessions, self.spec.steps)
        self.step = getattr(passes.Passes(forward_of(some.session, self.layout), self.layout), self.kind)
        self.losses: list[Tensor] = []  # of the steps since the last evaluation, [S, T] each, as are the weights
        self.weights: list[Tensor] = []

    @property
    def alive(self) -> dict[int, Seat]:
        """Who is still training, by slot."""
        return {slot: seat for slot, seat in self.seats.items() if seat.error is None}

    def arguments(self, step: int, alive: Tensor, decision: Tensor) -> list[Tensor]:
        """Of a step, counted from 1, in the order of :mod:`.passes`."""
        spec = self.spec
        rate = spec.learning_rate * 0.5 ** ((step - 1) // spec.halve_every if spec.halve_every else 0)
        rates = adam.rates(step, rate, self.rows.device)
        return [self.rows, self.first, self.second, rates, alive, decision, *self.batches.at(step - 1)]

    def train(self) -> Note:
        width = self.layout.shared if self.kind == "jacobian" else self.num_tasks
        going = self.alive
        mask, decision = self._mask(going), self.rows.new_zeros(len(self.rows), width)
        given = self.arguments(1, mask, decision)
        key = (self.spec.problem, self.spec.problem_version, self.kind)
        compiled, new = graphs.compiled(key, self.step, given, range(1, passes.LATE))
        _compare(going, compiled.look(given)[0][0], self.sessions)
        for step in range(1, self.spec.steps + 1):
            start = perf_counter()
            if step > 1:
                given = self.arguments(step, mask, decision)
            seen, handed = compiled.look(given)
            looked = perf_counter()
            self._drop_diverged(step, seen[0])
            decided = self._decide(seen)
            left = self.alive
            if len(left) < len(going):
                going, mask = left, self._mask(left)
                if not going:
                    break
            balanced = perf_counter()
            compiled.act([*given[: passes.LATE - 2], mask, decided, *given[passes.LATE :]], handed)
            self.losses.append(seen[0])
            if self.kind != "jacobian":
                self.weights.append(decided)
            share = 1 / len(going)
            total = perf_counter() - start
            for seat in going.values():
                seat.run.steps = step
                seat.run.method += (balanced - looked) * share
                seat.run.train += (total - (balanced - looked)) * share
            if next(iter(going.values())).run.due:
                self._evaluate(going)
                going = self.alive
                mask = self._mask(going)
                if not going:
                    break
        return Note(compiled.seconds if new else 0.0, compiled.trouble)

    def _mask(self, alive: dict[int, Seat]) -> Tensor:
        return torch.tensor([slot in alive for slot in range(len(self.rows))], device=self.rows.device)

    def _drop_diverged(self, step: int, losses: Tensor) -> None:
        """Before any method has seen them: losses that are not finite end a seed, and change nothing."""
        if not math.isfinite(float(losses.sum())):
            for slot, seat in self.alive.items():
                if not math.isfinite(float(losses[slot][self.trained].sum())):
                    seat.error = diverged(step, losses[slot])

    def _decide(self, seen: Sequence[Tensor]) -> Tensor:
        """What each seed's own method makes of its own losses, Gramian or Jacobian; of who is not training, zeros."""
        ask = ASK[self.kind]
        looked_at = [tensor.cpu() for tensor in seen] if self.kind in ON_HOST else seen
        found: dict[int, Tensor] = {}
        for slot, seat in self.alive.items():
            with _own(seat):
                found[slot] = ask(_balancer(seat), *(tensor[slot] for tensor in looked_at))
        if not found:
            return torch.empty(0)
        nothing = torch.zeros_like(next(iter(found.values())))
        return torch.stack([found.get(slot, nothing) for slot in range(len(self.rows))]).to(self.rows)

    def _evaluate(self, going: dict[int, Seat]) -> None:
        losses, weights = torch.stack(self.losses), torch.stack(self.weights) if self.weights else None
        self.losses.clear()
        self.weights.clear()
        for slot, seat in going.items():
            with _own(seat):
                self.layout.load(self.rows[slot], seat.session.model)
                seat.run.evaluate(seat.session, losses[:, slot], None if weights is None else weights[:, slot])


@contextmanager
def _own(seat: Seat) -> Iterator[None]:
    """Whatever a problem or a method raises for one seed is the outcome of that seed."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it becomes a record
        seat.error = error


def _balancer(seat: Seat) -> methods.Method:
    assert seat.run.balancer is not None  # begun, or it has an error
    return seat.run.balancer


def _compare(seats: dict[int, Seat], losses: Tensor, sessions: Sequence[tasks.Session]) -> None:
    """Whether the losses of the untrained seeds are those that each session computes by itself."""
    for slot, seat in seats.items():
        own = torch.stack(seat.session.losses(seat.session.batch(0))[0])
        found = losses[slot]
        if not torch.allclose(own, found, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            raise RuntimeError(
                f"problem {seat.run.spec.problem!r}: the losses of seed {seat.run.spec.seed} are {found.tolist()} when computed with "
                f"other seeds and {own.tolist()} alone; its card must not say that it is stackable"
            )
