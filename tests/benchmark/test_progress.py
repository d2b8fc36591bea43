"""The panel of a running study: what it says, that it fits, and that it costs next to nothing."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from benchmark.executors import Fault, Job
from benchmark.progress import StudyProgress
from benchmark.records import Cost, Point, RunRecord
from benchmark.standing import Scores, Standing, TimeUse
from tests.made import make

GOOD = {"error": 0.25, "accuracy": 0.5}
KILLED = Fault("error", "worker died: signal 9 (SIGKILL)", 1.0, machine=True)


def trial(
    entrant: str, score: float | None, seed: int = 0, *, problem: str = "digits", role: str = "eval", index: int = 0, **fields: object
) -> RunRecord:
    """A record of 4 s: 1 of training, 2 of the method, 1 of evaluation."""
    record = make(None if role == "tune" else GOOD, entrant=entrant, seed=seed, problem=problem, role=role, trial=index, **fields)  # type: ignore[arg-type]
    point = Point(step=1, train_losses=[], validation_losses=[], weights=[], score=score, seconds=0.0)
    cost = Cost(train=1.0, method=2.0, evaluation=1.0, steps=1, backward_passes=1)
    return RunRecord(id=record.id, spec=record.spec, status=record.status, curve=[point], selected_step=1, cost=cost)


def test_an_evaluation_is_ranked_by_means_over_seeds_and_then_problems() -> None:
    scores = Scores()
    for record in [
        *(trial("a", score, seed) for seed, score in enumerate([1.0, 2.0, 6.0])),
        trial("a", 1.0, problem="wine"),
        *(trial("b", score, problem=problem) for score, problem in ((3.0, "digits"), (0.8, "wine"))),
        trial("c", 0.1),
        trial("d", 0.1, status="diverged"),
        trial("d", None, seed=1),
    ]:
        scores.add(record)
    expected = [Standing("b", pytest.approx(1.9), 2, 2), Standing("a", pytest.approx(2.0), 2, 4), Standing("c", pytest.approx(0.1), 1, 1)]
    assert scores.best(5) == expected, "who has seen fewer problems comes later, however low its score"
    assert scores.best(1) == expected[:1]


def test_tuning_counts_the_best_configuration() -> None:
    scores = Scores()
    for index, score in enumerate([3.0, 1.0, 2.0]):
        scores.add(trial("a", score, role="tune", index=index))
    assert scores.best(5) == [Standing("a", 1.0, 1, 3)]


def test_all_time_of_all_workers_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    use = TimeUse(jobs=2, _start=now)
    first, second, third = trial("a", 1.0), trial("b", 1.0), trial("c", 1.0)
    use.begin(Job((first.spec,), "cpu"))
    now += 5.0
    use.end(first)  # 4 s by its record, 1 s beside
    use.begin(Job((second.spec,), "cpu"))
    now += 5.0
    use.begin(Job((third.spec,), "cpu"))
    assert use.running(5) == ["b on digits, seed 0, 5 s", "c on digits, seed 0, 0 s"]
    assert use.running(1) == ["b on digits, seed 0, 5 s"]
    # Two workers had 20 s: 5 for the first trial, 5 for one that still runs, the other 10 nobody had work for.
    assert str(use) == "training 7 %, method 13 %, evaluation 7 %, set-up 7 %, waiting 67 %"
    use.lose(Job((second.spec,), "cpu"))
    assert use.running(5) == ["c on digits, seed 0, 0 s"]


def test_trials_that_are_trained_together_share_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    use = TimeUse(jobs=1, _start=now)
    block = [trial("a", 1.0, seed) for seed in range(2)]
    use.begin(Job(tuple(record.spec for record in block), "cpu"))
    now = 10.0
    assert use.running(5) == ["a on digits, seeds 0 to 1, 10 s"]
    for record in block:
        use.end(record)
    assert str(use) == "training 20 %, method 40 %, evaluation 20 %, set-up 20 %, waiting 0 %"


def test_an_executor_that_tells_nothing_is_no_trouble() -> None:
    use = TimeUse(jobs=1)
    use.end(trial("a", 1.0))
    assert str(use) == "training 25 %, method 50 %, evaluation 25 %, set-up 0 %, waiting 0 %"


def watched(console: Console, records: list[RunRecord]) -> StudyProgress:
    progress = StudyProgress(console, jobs=2)
    with progress:
        progress.stage("evaluation", [record.spec for record in records], 3)
        for record in records:
            progress.started(Job((record.spec,), "cpu"))
            progress.seen(record)
    return progress


def test_where_nobody_looks_there_is_a_line_every_tenth_and_a_summary() -> None:
    console = Console(file=io.StringIO(), width=100)
    records = [trial(entrant, score, seed) for seed in range(20) for entrant, score in (("a", 0.5), ("b[red]", 0.25))]
    watched(console, records)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "evaluation: 40 trials to run, 3 already recorded"
    assert [line.split(",")[0].strip() for line in lines[1:11]] == [f"{4 * tenth}/40" for tenth in range(1, 11)]
    assert lines[11] == "  best by validation score: b[red] 0.25 (n 20), a 0.5 (n 20)"
    assert lines[12].startswith("  time: training ")
    assert len(lines) == 13


def test_what_was_lost_to_the_machine_is_said_a_few_times() -> None:
    console = Console(file=io.StringIO(), width=200)
    with StudyProgress(console) as progress:
        progress.stage("evaluation", [trial("a", 1.0).spec], 0)
        for seed in range(10):
            progress.again(Job((trial("a", 1.0, seed).spec,), "cpu"), KILLED)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[1:] == [f"  to run again: a on digits, seed {seed}: worker died: signal 9 (SIGKILL)" for seed in range(3)]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_panel_fits_whatever_is_named(width: int) -> None:
    progress = StudyProgress(Console(file=io.StringIO(), width=width), jobs=2)
    hostile = [f"[red]{letter}\x1b[2J\n" + "x" * 150 for letter in "abcdefgh"]
    progress.stage("evaluation", [trial(name, 1.0).spec for name in hostile], 0)
    for name in hostile:
        progress.started(Job((trial(name, 1.0, 1).spec,), "cpu"))
        progress.seen(trial(name, 1.0))
    shown = Console(file=io.StringIO(), width=width)
    shown.print(progress._panel())
    lines = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 14


def test_ten_thousand_trials_cost_little_each_and_the_panel_no_more_than_for_ten() -> None:
    console = Console(file=io.StringIO(), width=100)
    records = [trial(f"m{seed % 40}", 1.0 + seed, seed, problem=f"p{seed % 9}") for seed in range(10_000)]
    start = time.process_time()
    progress = watched(console, records)
    each = (time.process_time() - start) / len(records)
    assert each < 1e-3
    progress._ran = 1
    start = time.process_time()
    for _ in range(5):
        Console(file=io.StringIO(), width=100).print(progress._panel())
    assert (time.process_time() - start) / 5 < 0.1, "four times a second"
