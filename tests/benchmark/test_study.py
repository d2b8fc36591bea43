"""What a study does with outcomes: one record a trial, another try where the machine is at fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import tasks
from benchmark import plan, study
from benchmark.executors import Fault, Job, Outcome, Started
from benchmark.executors.inline import InlineExecutor
from benchmark.records import RunRecord, TrialSpec, same
from benchmark.store import Store

KILLED = Fault("error", "worker died: signal 9 (SIGKILL)", 1.0, machine=True)
LATE = Fault("timeout", "still running", 1.0)


class Scripted(InlineExecutor):
    """Answers with the faults that are given for a seed, one an attempt, then with a record."""

    def __init__(self, faults: dict[int, Sequence[Fault]]) -> None:
        self.faults = faults
        self.attempts: Counter[int] = Counter()

    def run(self, jobs: Sequence[Job], started: Started | None = None) -> Iterator[Outcome]:
        for job in jobs:
            assert started is not None
            started(job)
            seed, spec = job.spec.seed, job.spec
            faults = self.faults.get(seed, [])
            attempt = self.attempts[seed]
            self.attempts[seed] += 1
            record = RunRecord(id=spec.id, spec=spec, status="ok")
            yield Outcome(job, (record,)) if attempt >= len(faults) else Outcome(job, fault=faults[attempt])


class Notes(study.Watcher):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.seen_seeds: list[int] = []
        self.started_seeds: list[int] = []
        self.again_seeds: list[int] = []
        self.todo = 0

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        self.todo = len(todo)

    def started(self, job: Job) -> None:
        self.started_seeds.append(job.spec.seed)

    def again(self, job: Job, fault: Fault) -> None:
        self.again_seeds.append(job.spec.seed)

    def seen(self, record: RunRecord) -> None:
        self.seen_seeds.append(record.spec.seed)


def small(seeds: int) -> plan.Study:
    suite = plan.with_overrides(tasks.suite("smoke"), problems=["gradnorm_toy"], seeds=seeds)
    return plan.Study(suite, plan.choose_entrants(["equal"], []), 1, (), {"gradnorm_toy": "data"})


def ran(root: Path, faults: dict[int, Sequence[Fault]], retries: int) -> tuple[Scripted, Notes, study.Tally, dict[int, RunRecord]]:
    executor, notes, store = Scripted(faults), Notes(), Store(root)
    tally = study.run(small(5), store, executor, [notes], retries=retries)
    return executor, notes, tally, {record.spec.seed: record for record in store.scan().records}


def test_a_trial_that_the_machine_lost_is_run_again_and_shows_nothing_of_it(tmp_path: Path) -> None:
    *_, undisturbed = ran(tmp_path / "a", {}, retries=0)
    executor, notes, tally, found = ran(tmp_path / "b", {1: [KILLED], 3: [KILLED, KILLED]}, retries=2)
    assert executor.attempts == {0: 1, 1: 2, 2: 1, 3: 3, 4: 1}
    assert notes.seen_seeds == [0, 2, 4, 1, 3], "those again come last"
    assert notes.again_seeds == [1, 3, 3]
    assert notes.started_seeds == [0, 1, 2, 3, 4, 1, 3, 3]
    assert (notes.todo, tally.ran, tally.failed) == (5, 5, [])
    assert found.keys() == undisturbed.keys()
    assert all(same(found[seed], undisturbed[seed]) for seed in found)


@pytest.mark.parametrize(("retries", "message"), [(0, KILLED.message), (1, f"{KILLED.message}; tried 2 times")])
def test_one_that_is_lost_too_often_is_a_failure_that_can_be_retried(tmp_path: Path, retries: int, message: str) -> None:
    executor, notes, tally, found = ran(tmp_path, {2: [KILLED] * 5}, retries)
    assert executor.attempts[2] == retries + 1
    assert sorted(notes.seen_seeds) == [0, 1, 2, 3, 4]
    assert (found[2].status, found[2].message) == ("error", message)
    assert tally.failed == [found[2]]
    again = Scripted({})
    study.run(small(5), Store(tmp_path), again, retry_failed=True)
    assert again.attempts == {2: 1}


@pytest.mark.parametrize("fault", [LATE, Fault("oom", "MemoryError", 1.0), Fault("error", "ValueError: no", 1.0)])
def test_what_the_trial_did_itself_is_not_tried_again(tmp_path: Path, fault: Fault) -> None:
    executor, _, _, found = ran(tmp_path, {2: [fault], 3: [KILLED, fault]}, retries=3)
    assert executor.attempts[2] == 1
    assert executor.attempts[3] == 2
    assert (found[2].status, found[2].message) == (found[3].status, found[3].message) == (fault.status, fault.message)
