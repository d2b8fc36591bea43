"""Records that are too much alike: losses that two trainings cannot share to the last digit, and those that they must.

Two seeds of one configuration begin with other weights and other batches, so the means of their losses over the first steps differ. Where
they do not, one is a copy of the other, or the seeds are one training: some problems with a known front take their start from a short list.
Two methods on one seed see the same weights and the same batch in the first step, so where a curve has a point after one step, its losses
are equal. All of it is asked of hashes, in one pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

import methods
from benchmark.records import RunRecord, TrialSpec
from benchmark.verification_here import PLACE, Here

_Key = tuple[bytes, bytes]


@dataclass(frozen=True)
class Alike:
    """A record that looks like another one."""

    id: str
    other: str
    message: str


@dataclass
class Copies:
    """Has seen all records so far."""

    here: Here
    _curves: dict[_Key, tuple[int, str]] = field(default_factory=dict)
    """Seed and id of the first record of a configuration with this curve."""
    _methods: dict[_Key, tuple[str, str, str]] = field(default_factory=dict)
    """Entrant, method and id of the first record of a trial's setting with this curve."""
    _first: dict[tuple[bytes, int], tuple[str, str, float | None]] = field(default_factory=dict)
    """Entrant, id and loss of a task after the first step, by setting and task."""
    coinciding: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    """Ids of records whose curve another entrant's has too, by suite and the two entrants."""
    seeds: dict[tuple[str, str], set[tuple[int, int]]] = field(default_factory=dict)
    """Seeds that are one training, by suite and problem."""

    def look(self, record: RunRecord) -> Iterator[Alike]:
        """What the record has in common with one before, and must not; or has not, and must."""
        if not record.curve:
            return
        spec = record.spec
        curve = _hash([[point.train_losses, point.validation_losses] for point in record.curve])
        seed, other = self._curves.setdefault((_configuration(spec), curve), (spec.seed, record.id))
        if other != record.id:
            yield from self._copied(record, seed, other)
        place = _hash([record.environment.get(name) for name in PLACE])
        setting = _setting(spec) + place
        entrant, method, known = self._methods.setdefault((setting, curve), (spec.entrant, spec.method, record.id))
        if entrant != spec.entrant and not _coincide(method, spec.method):
            self.coinciding.setdefault((spec.suite, entrant, spec.entrant), []).extend((known, record.id))
        if record.curve[0].step == 1:
            yield from self._begun(record, setting)

    def _copied(self, record: RunRecord, seed: int, other: str) -> Iterator[Alike]:
        spec = record.spec
        alike = self.here.alike(spec, seed)
        if alike and not _randomised(spec.method):
            self.seeds.setdefault((spec.suite, spec.problem), set()).add((min(seed, spec.seed), max(seed, spec.seed)))
            return
        doubt = " (its data are not here, so whether these seeds are one training cannot be told)" if alike is None else ""
        yield Alike(record.id, other, f"losses equal those of seed {seed} (record {other}) to the last digit: a copy?{doubt}")

    def _begun(self, record: RunRecord, setting: bytes) -> Iterator[Alike]:
        for task in record.trained:
            loss = record.curve[0].train_losses[task]
            entrant, other, known = self._first.setdefault((setting, task), (record.spec.entrant, record.id, loss))
            if loss != known:
                yield Alike(
                    record.id,
                    other,
                    f"{record.tasks[task]} is {loss!r} in the first step, but {known!r} under {entrant} (record {other}), same seed: "
                    "weights and batch of the first step do not depend on the method",
                )
                return


def _coincide(one: str, other: str) -> bool:
    """Whether a card says that the two methods have the same direction. Two entrants of one method are not expected to."""
    known = set(methods.names())
    cards = {name: methods.card(name) for name in {one, other} & known}
    return (one in cards and other in cards[one].coincides) or (other in cards and one in cards[other].coincides)


def _randomised(method: str) -> bool:
    return method in methods.names() and methods.card(method).randomised


def _configuration(spec: TrialSpec) -> bytes:
    """Everything but the seed."""
    return _hash(msgspec.structs.replace(spec, seed=0))


def _setting(spec: TrialSpec) -> bytes:
    """What two methods have in common that begin alike; the learning rate too, without which they do not go on alike."""
    s = spec
    where = (s.problem, s.problem_version, s.data, s.protocol, s.seed, s.role, s.batch_size, s.eval_every, s.steps)
    return _hash([*where, s.precision, s.engine == "vectorized", s.hyperparameters.get("task")])


def _hash(value: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=12).digest()
