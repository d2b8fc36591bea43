"""One training step of every method against one under equal weights: same model, batch and optimizer, in one process on one thread.

Every block of steps stands between two blocks of `equal`, and its ratio is taken to their mean: a machine that changes its speed, or has
other work, changes all three. Beside the methods stand the loop of a tutorial (`plain`), the same method in torchjd where it has one, and
the floor: the components of a step timed on their own and added up with T passes through the trunk.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.util
import inspect
import math
import platform
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import steps_report
import torch
from bench_arguments import at_least, make, registered, sizes
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from steps_floors import Pair, Seconds, clocked, floors
from steps_models import Cell, Session, contested
from steps_report import Row

import methods
from benchmark import machine
from benchmark.train import losses_again, random_state, untrained_losses

REFERENCE = "equal"
LEARNING_RATE = 1e-5  # the gradients of the last round are those of the first
BLOCK = 8e-3  # seconds of steps timed at once: a thousand times what the clock costs
LEAST_ROUNDS = 3  # also where a cell's seconds are over sooner
CONV_TASKS = 10  # with 40 dense heads a round of the conv net takes six minutes: only where --model asks for it

# -- what a step may cost: the limits, with their reasons --------------------------------------------------------------------------------

LOSS = 1.05  # x equal: weights from T numbers, some tens of operations on them
REFORWARD = 1.40  # x equal: the second forward pass is a third of a step
LAST = {3: 1.50}  # x equal, by T: T passes through the heads and one layer, beside the plain pass
FLOOR = {"conv": 1.05, "mlp": 1.20}  # x floor: J Jᵀ and the combination of its rows are nothing beside convolutions, a tenth of an MLP
SMALL_BATCH = 64  # up to here J is larger than the activations it is made of, and a Gramian taken layer by layer does without it
LAYERWISE = {10: 0.65, 40: 0.55}  # x floor, by T: only the gradients of activations are taken T times, not those of weights


def target(card: methods.Card, cell: Cell, floor: float, *, reforward: bool, batches: int) -> float | None:
    """The largest ratio to equal weights that is no miss, from what the method must do in a step; None where nothing is promised."""
    if batches:
        return None  # a method that looks at further batches has a floor of its own
    if card.family == "loss":
        return REFORWARD if reforward else LOSS
    if card.family != "gramian" or card.where == "representation":
        return None
    if card.where == "last":
        return LAST.get(cell.tasks)
    if cell.model == "mlp" and cell.batch <= SMALL_BATCH:
        return floor * LAYERWISE[cell.tasks] if cell.tasks in LAYERWISE else None
    return floor * FLOOR[cell.model]


# -- the steps ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entrant:
    """One step of somebody, how often it passes back through the trunk, and its limit given the floor."""

    method: str
    implementation: str
    step: Callable[[], None]
    passes: int
    target: Callable[[float], float | None] = lambda floor: None


def ours(name: str, session: Session, optimizer: torch.optim.Optimizer, facts: Sequence[float]) -> Entrant:
    """The step of the trainer."""
    cell, batch = session.cell, session.batch(0)
    balancer = methods.create(name, cell.tasks, kinds=[head.kind for head in session.heads], initial_losses=facts, prior_losses=facts)
    if balancer.calibration_batches:
        balancer.calibrate(*untrained_losses(session, balancer.calibration_batches))
    parameters, shared, last_layer = list(session.model.parameters()), session.shared(), session.last_layer()
    batches = getattr(balancer, "extra_batches", 0)
    further = {"evaluate": lambda k: session.losses(session.batch(k))[0]} if batches else {}

    def step() -> None:
        before = random_state(parameters) if balancer.reforward else []
        losses, z = session.losses(batch)
        balancer.backward(losses, shared=shared, representation=z, last_layer=last_layer, **further)
        optimizer.step()
        optimizer.zero_grad()
        if balancer.reforward:
            balancer.after_step(losses_again(session, batch, before))

    step()  # imports, caches, buffers, state
    before = balancer.backward_passes
    step()
    limit = partial(target, balancer.card, cell, reforward=balancer.reforward, batches=batches)
    return Entrant(name, "lossbench", step, balancer.backward_passes - before, limit)


def plain(session: Session, optimizer: torch.optim.Optimizer) -> Entrant:
    """What a user without any library writes."""
    batch = session.batch(0)

    def step() -> None:
        losses, _ = session.losses(batch)
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    return Entrant("plain loop", "plain", step, 1)


def torchjd_aggregator(card: methods.Card, tasks: int) -> Any:
    """torchjd's aggregator of this name, at its own defaults and at the card's where it has none; None where there is no such.

    Raises:
        ValueError: it must be told something that the card does not know.
    """
    from torchjd import aggregation

    name = card.name.replace("_", "")
    cls = next((getattr(aggregation, each) for each in dir(aggregation) if each.lower() == name), None)
    if cls is None or not issubclass(cls, aggregation.Aggregator):
        return None
    known = {"tasks": tasks} | {h.name: h.default for h in card.hyperparameters}
    chosen = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is parameter.empty:
            words = [word for word in parameter.name.split("_") if word in known]  # n_tasks, trim_number
            if not words:
                raise ValueError(f"it asks for {parameter.name}")
            chosen[parameter.name] = known[words[0]]
    return cls(**chosen)


def torchjd(card: methods.Card, session: Session, optimizer: torch.optim.Optimizer) -> Entrant | None:
    """The same method in torchjd, as its documents show multi-task learning."""
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregator = torchjd_aggregator(card, session.cell.tasks)
    if aggregator is None:
        return None
    batch = session.batch(0)
    shared, heads = session.shared(), [list(head.parameters()) for head in session.model.heads]

    def step() -> None:
        losses, z = session.losses(batch)
        mtl_backward(losses, features=z, tasks_params=heads, shared_params=shared)
        jac_to_grad(shared, aggregator)
        optimizer.step()
        optimizer.zero_grad()

    step()
    return Entrant(card.name, "torchjd", step, session.cell.tasks)


# -- a cell ------------------------------------------------------------------------------------------------------------------------------


def processor(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else machine.processor() or platform.machine()


class Meeting:
    """Everybody who is measured in one cell, on one model with one optimizer."""

    def __init__(self, cell: Cell, names: Sequence[str], device: str, with_torchjd: bool, say: Callable[[str], None]) -> None:
        self.cell, self.device = cell, device
        self.session, self.conflicts = session, _ = contested(cell, device)
        self.optimizer = optimizer = torch.optim.Adam(session.model.parameters(), lr=LEARNING_RATE, fused=True)
        self.initial = {name: value.clone() for name, value in session.model.state_dict().items()}
        facts = [float(loss.detach()) for loss in session.losses(session.batch(0))[0]]
        self.equal = ours(REFERENCE, session, optimizer, facts)
        self.entrants = [plain(session, optimizer), *(ours(name, session, optimizer, facts) for name in names)]
        for card in map(methods.card, names if with_torchjd else ()):
            try:
                theirs = torchjd(card, session, optimizer)
            except (ImportError, ValueError) as error:  # a solver that is not installed; too few tasks
                say(f"  without {card.name} of torchjd: {str(error).splitlines()[0]}")
                continue
            if theirs:
                self.entrants.append(theirs)
        self.counts = {each: math.ceil(BLOCK / clocked(each.step, 1, device)[1]) for each in [self.equal, *self.entrants]}

    def rounds(self, most: int, seconds: float) -> tuple[dict[Entrant, list[Pair]], list[dict[str, Pair]]]:
        """(each entrant's blocks with what equal weights took around them, the floors with one plain step), a round at a time."""
        began, generator = time.perf_counter(), random.Random(0)
        taken: dict[Entrant, list[Pair]] = {entrant: [] for entrant in self.entrants}
        found: list[dict[str, Pair]] = []
        while len(found) < most and (len(found) < LEAST_ROUNDS or time.perf_counter() - began < seconds):
            self.session.model.load_state_dict(self.initial)
            order = generator.sample(self.entrants, len(self.entrants))
            gc.collect()
            gc.disable()  # a collection would be charged to whoever it happens to meet
            try:
                before = self._block(self.equal)
                for entrant in order:
                    own, after = self._block(entrant), self._block(self.equal)
                    taken[entrant].append((own, tuple((b + a) / 2 for b, a in zip(before, after, strict=True))))
                    before = after
                found.append(floors(self.session, self.optimizer, self.counts[self.equal], self.device))
            finally:
                gc.enable()
        return taken, found

    def _block(self, entrant: Entrant) -> Seconds:
        """A block of steps; before short ones half as many again, untimed, which bring code and data back into the cache."""
        count = self.counts[entrant]
        for _ in range(count // 2):
            entrant.step()
        return clocked(entrant.step, count, self.device)


def rows_of(meeting: Meeting, taken: dict[Entrant, list[Pair]], rounds: list[dict[str, Pair]]) -> list[Row]:
    """A row by entrant and clock."""
    clocks = ("wall",) if meeting.device == "cuda" else ("cpu", "wall")
    least = {name: [each[name] for each in rounds] for name in rounds[0]}
    passes = {"floor, two forwards": 1}
    bare = [(Entrant(name, "floor", lambda: None, passes.get(name, meeting.cell.tasks)), pairs) for name, pairs in least.items()]
    everybody = [*bare, *taken.items()]
    rows = []
    for clock in clocks:
        index = ("cpu", "wall").index(clock)
        floor = statistics.median(own[index] / one[index] for own, one in least["floor"])
        for entrant, pairs in everybody:
            limit = entrant.target(floor)
            ratios = [own[index] / one[index] for own, one in pairs]
            q25, ratio, q75 = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
            rows.append(
                Row(
                    **asdict(meeting.cell),
                    method=entrant.method,
                    implementation=entrant.implementation,
                    clock=clock,
                    ratio=round(ratio, 4),
                    q25=round(q25, 4),
                    q75=round(q75, 4),
                    n=len(ratios),
                    ms=round(statistics.median(own[index] for own, _ in pairs) * 1e3, 4),
                    backward_passes=entrant.passes,
                    target=None if limit is None else round(limit, 4),
                    conflicts=round(meeting.conflicts, 3),
                    torch=str(torch.__version__),
                    cpu=processor(meeting.device),
                    date=datetime.date.today().isoformat(),
                )
            )
    return rows


# -- the command line --------------------------------------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=registered, default=methods.names(), help="a,b,...; default: all")
    parser.add_argument("--tasks", type=sizes, default=[2, 3, 10, 40], help="default: 2,3,10,40")
    parser.add_argument("--model", choices=("mlp", "conv"), help="default: both")
    parser.add_argument("--batch", type=at_least(1), help="default: 32 and 256 (mlp), 8 (conv)")
    parser.add_argument("--rounds", type=at_least(1), default=41, help="at most so many a cell")
    parser.add_argument(
        "--seconds", type=float, default=140.0, help=f"of a cell, after which no further round begins (but {LEAST_ROUNDS} are made)"
    )
    parser.add_argument("--quick", action="store_true", help="two minutes: the mlp with T=3 and 10")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="keep the cells that the CSV already has")
    earlier.add_argument("--again", action="store_true", help="keep the rows that the CSV already has, but for those that are measured")
    parser.add_argument("--no-torchjd", dest="torchjd", action="store_false")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    found = parser.parse_args(given)
    make(parser, found.out)
    if found.quick:
        found.model, found.tasks, found.seconds = "mlp", [3, 10], min(found.seconds, 25.0)
    return found


def cells(given: argparse.Namespace) -> list[Cell]:
    batches = {"mlp": (32, 256), "conv": (8,)}
    found = [
        Cell(model, size, tasks)
        for model in ([given.model] if given.model else batches)
        for size in ([given.batch] if given.batch else batches[model])
        for tasks in given.tasks
    ]
    return [cell for cell in found if given.model or cell.model != "conv" or cell.tasks <= CONV_TASKS]


def main(argv: Sequence[str] | None = None) -> None:
    given = arguments(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module=r"torchjd\.")  # advice of its solvers to its authors
    console = Console(stderr=True, soft_wrap=True)
    machine.resolve_device(given.device)
    if given.torchjd and importlib.util.find_spec("torchjd") is None:
        console.print("torchjd is not installed (extra `bench`): its columns are left out")
        given.torchjd = False
    rows = steps_report.read(given.out) if given.resume or given.again else []
    kept = {row.cell for row in rows} if given.resume else set()
    todo = [cell for cell in cells(given) if cell not in kept]
    began = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(todo))
        for done, each in enumerate(todo):
            progress.update(bar, description=str(each))
            meeting = Meeting(each, given.methods, given.device, given.torchjd, console.print)
            taken, rounds = meeting.rounds(given.rounds, given.seconds)
            found = rows_of(meeting, taken, rounds)
            replaced = {row.what for row in found}
            rows = [*(row for row in rows if row.what not in replaced), *found]
            steps_report.write(given.out, rows)
            elapsed = time.perf_counter() - began
            left = elapsed / (done + 1) * (len(todo) - done - 1)
            progress.update(bar, advance=1)
            console.print(f"{each}: {len(rounds)} rounds; {elapsed:.0f} s, ETA {left:.0f} s", highlight=False)
    missed = [row for row in rows if row.missed and row.clock == rows[0].clock]
    console.print(f"{given.out}: {len(rows)} rows, {len(missed)} above their limit", highlight=False)


if __name__ == "__main__":
    main()
