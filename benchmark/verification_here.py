"""What a record says of method, problem and data, against those that are here now; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from msgspec import UNSET

import methods
import tasks
from benchmark import machine
from benchmark.plan import UNIVERSAL
from benchmark.records import PROTOCOL, RunRecord, TrialSpec
from benchmark.selection import pinned
from benchmark.train import score_of
from benchmark.trial import one_line, one_thread

PROCESSOR = "processor"
PLACE = ("system", "cpu", PROCESSOR, "device", "torch", "numpy", "python", "threads")
"""Of an environment, what may change the last bits of a run."""
AGAIN = frozenset({"ok", "degraded", "diverged", "error"})
"""Statuses that a method brings about; the others are the machine's, or a scheduler's."""
DIGITS = 1e-5
"""Relative: what the loss of the best constant may differ by between two platforms."""


@dataclass
class Here:
    """The code and the data at hand. Looks everything up once."""

    where: tasks.Locations
    _data: dict[str, str | tasks.TaskError] = field(default_factory=dict)
    _priors: dict[tuple[str, int], tuple[float, ...] | str] = field(default_factory=dict)
    _cards: dict[str, methods.Card | str] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _places: dict[str, dict[str, str]] = field(default_factory=dict)

    def obstacle(self, record: RunRecord) -> str:
        """Why the trial of a record cannot be run again here; empty where it can."""
        spec = record.spec
        if spec.protocol != PROTOCOL:
            return f"it is of protocol {spec.protocol}, and this LossBench has {PROTOCOL}"
        if record.status not in AGAIN:
            return f"its status is {record.status}, which the machine or a scheduler brings about"
        return self.lacks_method(spec) or self.lacks_problem(spec) or _lacks_device(record)

    def lacks_method(self, spec: TrialSpec) -> str:
        if spec.method not in self._cards:
            self._cards[spec.method] = _card(spec.method)
        card = self._cards[spec.method]
        if isinstance(card, str):
            return card
        if card.version != spec.method_version:
            return f"it is of {spec.method} version {spec.method_version}, and here is version {card.version}"
        release = "" if spec.release is UNSET else spec.release
        if card.release != release:
            return f"it is of {release or 'an unknown release'}, and here is {card.release or 'none'}"
        return ""

    def lacks_problem(self, spec: TrialSpec) -> str:
        try:
            problem = tasks.problem(spec.problem)
        except tasks.TaskError as error:
            return f"its problem is not here: {error}"
        if problem.card.version != spec.problem_version:
            return f"it is of {spec.problem} version {spec.problem_version}, and here is version {problem.card.version}"
        data = self._fingerprint(spec.problem)
        if isinstance(data, tasks.TaskError):
            return f"no data: {data}"
        if data != spec.data and not problem.embedded:
            return f"the data of {spec.problem} here are others ({data}, recorded {spec.data})"
        return ""

    def knows(self, spec: TrialSpec) -> bool:
        """Whether code and data are here at the versions that a spec names."""
        return spec.protocol == PROTOCOL and not self.lacks_method(spec) and not self.lacks_problem(spec)

    def contradictions(self, record: RunRecord) -> Iterator[str]:
        """What a record says that the code and the data of now, at the versions that it names, deny."""
        spec = record.spec
        if spec.protocol != PROTOCOL:
            return
        if not self.lacks_method(spec):
            yield from _of_method(record)
        if not self.lacks_problem(spec):
            yield from self._of_problem(record)

    def changed(self, record: RunRecord) -> bool:
        """Whether the text of the record's method is another one now, at the same version."""
        recorded = record.environment.get("method_source")
        if not recorded or self.lacks_method(record.spec):
            return False
        name = record.spec.method
        if name not in self._digests:
            source = methods.find(name)
            self._digests[name] = source.digest() if source else recorded
        return recorded != self._digests[name]

    def alike(self, a: TrialSpec, seed: int) -> bool | None:
        """Whether a problem is the same for two seeds, in initial weights and first batch; None where that cannot be told here."""
        if self.lacks_problem(a):
            return None
        with one_thread(), torch.random.fork_rng(devices=[]):
            try:
                sessions = [tasks.problem(a.problem).open(each, a.batch_size, "cpu", self.where) for each in (a.seed, seed)]
                weights = [[*session.model.state_dict().values()] for session in sessions]
                losses = [session.losses(session.batch(0))[0] for session in sessions]
            except Exception:  # noqa: BLE001 - a spec from anywhere, and a problem from anywhere: then nobody can tell
                return None
        pairs = [*zip(*weights, strict=True), *zip(*losses, strict=True)]
        return all(torch.equal(first, second) for first, second in pairs)

    def differences(self, record: RunRecord, device: str) -> list[str]:
        """In what the place of a record differs from this one, ``torch 2.12.0, here 2.13.0``; nowhere: a run here is bit-identical."""
        there, here = record.environment, self.place(device)
        known = [name for name in PLACE if name in there or name != PROCESSOR]  # records from before it was told
        return [
            f"{name} {there.get(name, 'unknown')}, here {here.get(name, 'unknown')}" for name in known if there.get(name) != here.get(name)
        ]

    def place(self, device: str) -> dict[str, str]:
        """The environment of now."""
        if device not in self._places:
            with one_thread():
                self._places[device] = machine.environment(device, methods.names()[0])
        return self._places[device]

    def _of_problem(self, record: RunRecord) -> Iterator[str]:
        spec, problem = record.spec, tasks.problem(record.spec.problem)
        data, card = self._fingerprint(spec.problem), problem.card
        if data != spec.data:
            yield f"the data of {spec.problem}, which ship with it, have fingerprint {data}, but {spec.data} is recorded"
            return
        if record.tasks != [task.name for task in card.tasks]:
            yield f"its tasks are {record.tasks}, but those of {spec.problem} are {[task.name for task in card.tasks]}"
            return
        if record.metrics.keys() != card.metrics().keys():
            yield f"its metrics are not those of {spec.problem}: {', '.join(sorted(record.metrics.keys() ^ card.metrics().keys()))}"
        for key, metric in card.metrics().items():
            told = record.metrics.get(key)
            if told is not None and told.higher_is_better != metric.higher_is_better:
                yield f"{key}: higher is {'better' if metric.higher_is_better else 'worse'}, and the record says otherwise"
            if told is not None and metric.compared and not told.compared:
                yield f"{key} is compared by Δm, and the record says that it is not"
        if record.curve and record.trained:
            yield from self._scores(record)

    def _scores(self, record: RunRecord) -> Iterator[str]:
        """Every score on the curve follows from the losses and the seed's data, to the last digit on the platform of the record."""
        spec = record.spec
        priors = self._priors_of(spec)
        if isinstance(priors, str):
            yield f"its problem cannot be opened for it: {priors}"
            return
        exact = not self.differences(record, "cpu")
        for point in record.curve:
            losses = [value for value in point.validation_losses if value is not None]
            if point.score is None or len(losses) < len(record.tasks):
                continue
            found = score_of(losses, priors, record.trained)
            if found != point.score and (exact or abs(found - point.score) > DIGITS * max(abs(found), abs(point.score))):
                yield (
                    f"score {point.score!r} at step {point.step}, but its validation losses and the data of seed {spec.seed} give {found!r}"
                )
                return

    def _priors_of(self, spec: TrialSpec) -> tuple[float, ...] | str:
        """Losses of the best constant on the data of a seed, or why they cannot be had."""
        key = spec.problem, spec.seed
        if key not in self._priors:
            with one_thread(), torch.random.fork_rng(devices=[]):
                try:
                    self._priors[key] = tasks.problem(spec.problem).open(spec.seed, spec.batch_size, "cpu", self.where).prior_losses
                except Exception as error:  # noqa: BLE001 - a spec from anywhere: whatever the problem makes of it is what to say of it
                    self._priors[key] = one_line(error)
        return self._priors[key]

    def _fingerprint(self, name: str) -> str | tasks.TaskError:
        if name not in self._data:
            problem = tasks.problem(name)
            try:
                problem.require()
                self._data[name] = problem.fingerprint(self.where)
            except tasks.TaskError as error:
                self._data[name] = error
        return self._data[name]


def device_of(record: RunRecord) -> str:
    return "cpu" if record.environment.get("device", "cpu") == "cpu" else "cuda"


def _lacks_device(record: RunRecord) -> str:
    if device_of(record) == "cuda" and not torch.cuda.is_available():
        return f"it was made on {record.environment['device']}, and there is no CUDA device here"
    return ""


def _of_method(record: RunRecord) -> Iterator[str]:
    spec, card = record.spec, methods.card(record.spec.method)
    given = {name: value for name, value in spec.hyperparameters.items() if name not in UNIVERSAL}
    try:
        declared = card.resolve(given)
        for name in UNIVERSAL.keys() & spec.hyperparameters.keys():
            UNIVERSAL[name].check(spec.hyperparameters[name], card.name)
    except methods.MethodError as error:
        yield f"hyperparameters that its card does not allow: {error}"
        return
    for name in sorted(declared.keys() - given.keys()):
        yield f"it does not say what {card.name}.{name} was"
    if spec.trial == 0:
        for name, value in card.resolve({}).items():
            if name in given and given[name] != value and name not in pinned(spec) and not (card.per_task and name == "task"):
                yield f"its row is the published defaults, but {card.name}.{name} was {given[name]!r}, not {value!r}"
    if record.status in ("ok", "degraded") and record.tasks:
        task = spec.hyperparameters.get("task") if card.per_task else None
        expected = [task] if isinstance(task, int) else list(range(len(record.tasks)))
        if record.trained != expected:
            yield f"it trained tasks {record.trained}, but {spec.method} trains {expected}"
        if card.family == "loss" and record.cost is not None and record.cost.backward_passes != record.cost.steps:
            passes = f"{record.cost.backward_passes} backward passes in {record.cost.steps} steps"
            yield f"{passes}, but {spec.method} takes one a step"


def _card(name: str) -> methods.Card | str:
    """That of a method, or why there is none."""
    try:
        return methods.card(name)
    except methods.MethodError as error:
        return f"its method is not here: {error}; --methods FILE names a method's file"
