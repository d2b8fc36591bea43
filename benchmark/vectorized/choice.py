"""Whether it pays to train the seeds of a problem together: a short measurement against the length of the study.

Three times are measured: a step of one seed alone, what its method takes of that on the host, and a step of all seeds
whose operations are run one by one. Compiled, that step takes at most :data:`GAIN` of it; what compiling takes is what it took before on
this machine, or an estimate that errs on the long side. It must pay by a margin: a wrong guess then costs little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

import methods
import tasks
from benchmark.plan import Entrant, Study, hyperparameters, runs_a_seed
from benchmark.vectorized import adam, graphs, passes
from benchmark.vectorized.balance import ASK
from benchmark.vectorized.stack import Batches, Layout, forward_of
from benchmark.vectorized.support import Kind, Unsupported, check

GAIN = 0.6
"""Compiled over uncompiled time of a stacked step: 0.35 to 0.55 was measured on MLPs, one core."""

MARGIN = 0.8
"""What the pass must take of the time of single seeds, compiling included."""

SHORT = 15.0
"""Seconds: a shorter study is over before its first step is compiled."""


@dataclass(frozen=True)
class Verdict:
    """Who is trained together on a problem, by label, and why, in one line."""

    vectorized: frozenset[str]
    reason: str


def pays(wanted: Study, entry: tasks.Entry, entrants: Sequence[Entrant], device: str, jobs: int) -> Verdict:
    """Decides for the entrants of one problem that are not recorded yet; takes a second or two."""
    from benchmark.machine import resolve_device
    from benchmark.trial import one_thread

    if device == "cuda" and not torch.cuda.is_available():  # a cluster may have what this machine lacks
        return Verdict(frozenset(), "one by one (there is no GPU here to measure on)")
    with one_thread(), torch.random.fork_rng(devices=[]):
        try:
            return _Measurement(wanted, entry, resolve_device(device), jobs).verdict(entrants)
        except Exception as error:  # noqa: BLE001 - a user's method may raise anything, which is then the outcome of its trials
            return Verdict(frozenset(), f"one by one (measuring raised {type(error).__name__})")


class _Measurement:
    def __init__(self, wanted: Study, entry: tasks.Entry, device: str, jobs: int) -> None:
        self.entry, self.together, self.jobs = entry, wanted.together, jobs
        self.problem = tasks.problem(entry.problem)
        self.session = self.problem.open(0, entry.batch_size, device, wanted.where)
        self.blocks = math.ceil(entry.seeds / self.together)

    def verdict(self, entrants: Sequence[Entrant]) -> Verdict:
        kinds: dict[str, Kind] = {}
        for entrant in entrants:
            try:
                kinds[entrant.label] = check(self.problem, entrant.card.name, hyperparameters(entrant), self.entry.optimizer)
            except Unsupported as error:
                reason = str(error)
        if not kinds:
            return Verdict(frozenset(), f"one by one ({reason})")
        able = [entrant for entrant in entrants if entrant.label in kinds]
        alone = {
            entrant.label: self._alone(entrant) * self.entry.seeds * self.entry.steps * runs_a_seed(self.entry, entrant) for entrant in able
        }
        whole = sum(alone.values()) / self.jobs
        if whole < SHORT:
            return Verdict(frozenset(), f"one by one (about {whole:.0f} s of training, less than compiling takes)")
        chosen: set[str] = set()
        before = after = 0.0
        for kind in sorted(set(kinds.values())):
            mine = [entrant for entrant in able if kinds[entrant.label] == kind]
            seconds = sum(alone[entrant.label] for entrant in mine) / self.jobs
            pass_seconds, compiling = self._together(kind, mine)
            if pass_seconds + compiling < MARGIN * seconds:
                chosen |= {entrant.label for entrant in mine}
                before, after = before + seconds, after + pass_seconds + compiling
        if not chosen:
            return Verdict(frozenset(), f"one by one (about {whole:.0f} s of training; together it would not be shorter by a fifth)")
        rest = f", {len(entrants) - len(chosen)} one by one" if len(entrants) > len(chosen) else ""
        return Verdict(
            frozenset(chosen),
            f"seeds of {len(chosen)} entrants together (about {after:.0f} s in place of {before:.0f} s, compiling included){rest}",
        )

    def _method(self, entrant: Entrant) -> methods.Method:
        card, session = self.problem.card, self.session
        facts = {"initial_losses": session.initial_losses, "prior_losses": session.prior_losses}
        known = {name: values for name, values in facts.items() if not any(map(math.isnan, values))}
        kinds = [task.kind for task in card.tasks]
        return methods.create(entrant.card.name, len(card.tasks), kinds=kinds, **known, **hyperparameters(entrant))  # type: ignore[arg-type]

    def _alone(self, entrant: Entrant) -> float:
        """Seconds of a step of one seed."""
        session, balancer = self.session, self._method(entrant)
        if balancer.calibration_batches:
            balancer.calibrate(torch.stack([torch.stack(session.losses(session.batch(0))[0]).detach()]))
        shared, last = list(session.shared()), list(session.last_layer())
        parameters = list(session.model.parameters())
        optimizer = torch.optim.Adam(parameters, lr=1e-12, fused=True)

        def step() -> None:
            losses, representation = session.losses(session.batch(0))
            outcome = balancer.backward(losses, shared=shared, representation=representation, last_layer=last)
            float(outcome.losses.sum())
            optimizer.step()
            for parameter in parameters:
                parameter.grad = None

        return _shortest(step, 8)

    def _together(self, kind: Kind, entrants: Sequence[Entrant]) -> tuple[float, float]:
        """Seconds of all passes of a kind, spread over the workers, and of compiling its step."""
        sessions = [self.session] * self.together
        layout = Layout(self.session)
        rows = torch.stack([layout.row(self.session.model)] * self.together)
        width = layout.shared if kind == "jacobian" else len(self.problem.card.tasks)
        moments = [torch.zeros_like(rows), torch.zeros_like(rows)]
        late = [
            adam.rates(1, 1e-12, rows.device),
            torch.ones(len(rows), dtype=torch.bool, device=rows.device),
            rows.new_zeros(len(rows), width),
        ]
        given = [rows, *moments, *late, *Batches(sessions, 1).at(0)]
        step = getattr(passes.Passes(forward_of(self.session, layout), layout), kind)
        with torch.no_grad():
            traced = graphs.traced(step, given, range(1, passes.LATE))

            def run() -> None:
                seen, handed = traced.look(given)
                traced.act(given, handed)
                float(seen[0].sum())

            compiled = GAIN * _shortest(run, 4)
            seen = [tensor[0] for tensor in traced.look(given)[0]]
        total = longest = 0.0
        for entrant in entrants:
            balancer = self._method(entrant)
            if balancer.calibration_batches:
                balancer.calibrate(seen[0].unsqueeze(0))
            host = _shortest(lambda balancer=balancer: ASK[kind](balancer, *seen), 8)  # type: ignore[misc]
            one = self.entry.steps * (compiled + min(self.together, self.entry.seeds) * host)
            total += one * self.blocks * runs_a_seed(self.entry, entrant)
            longest = max(longest, one)
        key = (self.entry.problem, self.problem.card.version, kind)
        return max(total / self.jobs, longest), graphs.expected_seconds(key, given, traced.halves.size)


def _shortest(act: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some calls, after two that warm up."""
    act()
    act()
    found = math.inf
    for _ in range(times):
        start = perf_counter()
        act()
        found = min(found, perf_counter() - start)
    return found
