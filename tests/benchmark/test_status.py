"""What a study leaves for ``status``, and what is made of it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from benchmark.beacon import Beacon, key_of
from benchmark.commands.status import status
from benchmark.errors import UsageError
from benchmark.executors import Fault, Job
from benchmark.records import Cost, RunRecord, TrialSpec
from benchmark.status import SILENT, Count, Reader, State, is_alive
from benchmark.store import Store
from benchmark.whereabouts import Cell, Life, Plan, Underway
from tests.made import make

ROOT = Path(__file__).parents[2]
GOOD = {"error": 0.25, "accuracy": 0.5}


def trial(seed: int, entrant: str = "equal", problem: str = "digits", status: str = "ok", seconds: float | None = None) -> RunRecord:
    cost = None if seconds is None else Cost(train=seconds / 2, method=seconds / 4, evaluation=seconds / 4, steps=1, backward_passes=1)
    return make(GOOD if status == "ok" else None, seed=seed, entrant=entrant, problem=problem, status=status, cost=cost)


TRIALS = [trial(seed, entrant, problem) for seed in range(4) for entrant in ("equal", "mgda") for problem in ("digits", "wine")]


def specs(records: list[RunRecord] = TRIALS) -> list[TrialSpec]:
    return [record.spec for record in records]


def beacon(root: Path, suite: str = "toy", key: str = "k", jobs: int = 2) -> Beacon:
    return Beacon(root, suite, key, jobs, specs)


def only(root: Path, suite: str | None = None) -> State:
    (state,) = Reader(root).states(suite)
    return state


def until(condition: object) -> None:
    end = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def life(**fields: object) -> Life:
    now = time.time()
    given = {"process": os.getpid(), "host": platform.node(), "started": now, "beat": now, "underway": [], **fields}
    return msgspec.convert(given, Life)


def test_done_running_failed_and_missing_add_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with beacon(tmp_path) as tells:
        store.save(trial(0, "equal", "digits", seconds=8.0))
        tells.started(Job((specs()[1],), "cpu"))
        store.save(trial(1, "equal", "digits", "timeout", seconds=16.0))  # since then: not running, whatever its driver has said last
        store.save(trial(0, "equal", "wine", seconds=2.0))
        tells.started(Job((trial(0, "mgda", "digits").spec,), "cpu"))
        until(lambda: only(tmp_path).total.running == 1)
        state = only(tmp_path)
        assert state.alive
        assert [each.name for each in state.underway] == ["mgda on digits, seed 0"]
        digits, wine = state.by(lambda problem, _: problem).values()
        assert (digits.done, digits.running, digits.failed, digits.missing) == (1, 1, 1, 5)
        assert (wine.done, wine.running, wine.failed, wine.missing) == (1, 0, 0, 7)
        assert wine.work == pytest.approx(7 * 2.0)
        assert digits.work == pytest.approx(6 * 12.0, abs=5.0), "less what the running one has run"
        assert state.eta(wine) == pytest.approx(7.0), "two at once"
        equal, mgda = state.by(lambda _, entrant: entrant).values()
        assert (equal.total, mgda.total) == (8, 8)
        assert state.total.total == len(TRIALS)
        tells.again(Job((trial(0, "mgda", "digits").spec,), "cpu"), Fault("error", "killed", 1.0, machine=True))
        until(lambda: only(tmp_path).total.running == 0)
        assert only(tmp_path).life is not None
        assert only(tmp_path).life.lost == 1  # type: ignore[union-attr]
    after = only(tmp_path)
    assert (after.life, after.alive, after.total.running) == (None, False, 0)
    for record in TRIALS:
        store.save(record)
    assert only(tmp_path).total == Count(done=len(TRIALS))


def test_a_failure_that_is_run_again_is_running(tmp_path: Path) -> None:
    failure = trial(1, "equal", "digits", "timeout", seconds=16.0)
    path = Store(tmp_path).save(failure)
    os.utime(path, (1e9, 1e9))
    with beacon(tmp_path) as tells:
        assert only(tmp_path).total.failed == 1
        tells.started(Job((failure.spec,), "cpu"))
        until(lambda: only(tmp_path).total.running == 1)
        assert only(tmp_path).total.failed == 0
    assert only(tmp_path).total.failed == 1


def test_without_a_record_there_is_no_guess(tmp_path: Path) -> None:
    with beacon(tmp_path):
        pass
    state = only(tmp_path)
    assert state.eta(state.total) is None


def test_a_damaged_record_is_missing_and_read_again_when_it_is_mended(tmp_path: Path) -> None:
    with beacon(tmp_path):
        pass
    store, reader = Store(tmp_path), Reader(tmp_path)
    path = store.save(TRIALS[0])
    whole = path.read_bytes()
    assert reader.states()[0].total.done == 1
    path.write_bytes(whole[:100])
    assert reader.states()[0].total.done == 0
    path.write_bytes(whole)
    assert reader.states()[0].total.done == 1
    path.unlink()
    assert reader.states()[0].total.done == 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"suite": 3}', b"[" * 100_000], ids=str)
def test_foreign_files_harm_nothing(tmp_path: Path, data: bytes) -> None:
    with beacon(tmp_path):
        pass
    for name in ("foreign.plan", "foreign.life", "k.life", "notes.txt"):
        (tmp_path / "studies" / name).write_bytes(data)
    (tmp_path / "studies" / "folder.plan").mkdir()
    state = only(tmp_path)
    assert (state.alive, state.total.missing) == (False, len(TRIALS))
    Store(tmp_path).save(TRIALS[0])
    assert Store(tmp_path).scan().records == [TRIALS[0]], "and the store sees nothing of them"


def test_what_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("in the way")
    with beacon(tmp_path) as tells:
        tells.stage("evaluation", specs(), 0)
        tells.seen(TRIALS[0])
    assert (tmp_path / "studies").read_text() == "in the way"


def test_of_a_suite_the_last_study_is_shown_and_every_one_that_runs(tmp_path: Path) -> None:
    with beacon(tmp_path, key="first"):
        with beacon(tmp_path, key="second"):
            until(lambda: len(list((tmp_path / "studies").glob("*.life"))) == 2)
            assert len(Reader(tmp_path).states()) == 2
        with beacon(tmp_path, suite="other", key="third"):
            assert {state.plan.suite for state in Reader(tmp_path).states()} == {"toy", "other"}
            assert only(tmp_path, "other").plan.suite == "other"
    assert len(Reader(tmp_path).states("toy")) == 1
    assert not list((tmp_path / "studies").glob(".*"))


def test_a_driver_is_alive_while_it_is_there_and_heard_of() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_alive(life())
    assert not is_alive(None)
    assert not is_alive(life(beat=time.time() - SILENT - 1))
    assert not is_alive(life(process=ended.pid)), "on this machine it is seen at once"
    assert is_alive(life(process=ended.pid, host="elsewhere")), "on another only time tells"
    assert not is_alive(life(host="elsewhere", beat=time.time() - SILENT - 1))


def test_a_key_is_that_of_its_parts() -> None:
    assert key_of("a", [1, 2]) == key_of("a", (1, 2)) != key_of("a", [1, 3])


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    cells = [Cell(role="eval", problem="p" * 200, entrant="[red]\x1b[2Jmine\n[/red]" + "x" * 200, trials=["0" * 20])]
    plan = Plan(suite="toy\x1b[2J", started=0.0, jobs=1, cells=cells)
    said = life(underway=[Underway(trials=["0" * 20], name="a\x1b[2J\nb" + "c" * 200, since=time.time())])
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "k.plan").write_bytes(msgspec.json.encode(plan))
    (tmp_path / "studies" / "k.life").write_bytes(msgspec.json.encode(said))
    return tmp_path


def test_a_hundred_columns_hold_it_and_nothing_moves_the_cursor(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(suite=None, watch=False, results=hostile)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_records_alone_are_counted_and_nothing_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    store.save(trial(0))
    store.save(trial(1, status="error"))
    status(suite=None, watch=True, results=tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert "not known" in shown[0]
    assert shown[-1].split() == ["digits", "equal", "1", "1"]
    with pytest.raises(UsageError, match=r"nothing of suite 'tou'; did you mean 'toy'.*there are records of: toy"):
        status(suite="tou", watch=False, results=tmp_path)
    with pytest.raises(UsageError, match="has no records"):
        status(suite=None, watch=False, results=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_it_imports_nothing_heavy_and_starts_at_once(tmp_path: Path) -> None:
    for record in TRIALS:
        Store(tmp_path).save(record)
    with beacon(tmp_path):
        pass
    arguments = ["status", "--watch", "--results", str(tmp_path)]
    program = (
        f"import sys\nfrom benchmark.cli import main\ntry:\n    main({arguments!r})\n"
        "except SystemExit as exit_:\n    assert not exit_.code\n"
        "print(sorted({'torch', 'ray', 'wandb', 'numpy', 'scipy', 'datasets', 'sklearn'} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ran.stdout.splitlines() == ["toy: 16 of 16 trials done: complete", "[]"]
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5
