"""Tracking: what goes to W&B, what a run holds already, and what happens to a study when W&B does not work."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET
from rich.console import Console

import tasks
from benchmark import plan
from benchmark.errors import UsageError
from benchmark.records import Cost, MetricInfo, Point, RunRecord, TrialSpec
from benchmark.store import Store
from benchmark.tracking import Options, content, watcher
from benchmark.tracking.ledger import Ledger, digest
from benchmark.tracking.service import environment
from benchmark.tracking.watcher import Tracker


def record(seed: int, method: str = "mgda", status: str = "ok") -> RunRecord:
    spec = TrialSpec(
        suite="tiny",
        problem="wine",
        problem_version=1,
        data="0",
        method=method,
        method_version=1,
        entrant=method,
        hyperparameters={},
        learning_rate=1e-3,
        role="eval",
        seed=seed,
        steps=20,
        batch_size=8,
        eval_every=10,
        selection="best",
    )
    points = [
        Point(
            step=step,
            train_losses=[1.0, 2.0],
            validation_losses=[1.5, None],
            weights=[0.25, 0.75] if method == "mgda" else [],
            score=1.0 / step,
            seconds=0.1 * step,
            cosine=-0.5 if method == "mgda" else UNSET,
            conflicts=1.0 if method == "mgda" else UNSET,
        )
        for step in (10, 20)
    ]
    return RunRecord(
        id=spec.id,
        spec=spec,
        status=status,  # type: ignore[arg-type]
        tasks=["a", "b"],
        trained=[0, 1],
        metrics={"a/error": MetricInfo(higher_is_better=False, low=0.0, task="a")},
        curve=points,
        selected_step=20,
        test={"a/error": 0.5 + seed / 10},
        cost=Cost(train=1.0, method=0.5, evaluation=0.25, steps=20, backward_passes=40),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def study() -> plan.Study:
    suite = plan.with_overrides(tasks.suite("smoke"), problems=["wine"], seeds=2)
    return plan.Study(suite, plan.choose_entrants(["mgda"], []), 1, (), {"wine": "0"})


def track(options: Options, store: Store, records: list[RunRecord]) -> str:
    """What the user is told while these records of a study come in."""
    console = Console(file=io.StringIO(), width=400)
    with Tracker(options, store, console) as tracker:
        tracker.log_in()
        tracker.begin(study())
        for each in records:
            store.save(each)
            tracker.seen(each)
        tracker.end([], records)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


# -- what is written -----------------------------------------------------------------------------------------------------------------------


def test_a_curve_has_losses_weights_and_cosines_by_task_and_nothing_that_is_not_there() -> None:
    known = record(0)
    known.curve[0] = msgspec.structs.replace(known.curve[0], metrics={"a/error": 0.5, "b/error": None})
    (first, values), (second, _) = content.curve(known)
    assert (first, second) == (10, 20)
    assert values == {
        "score": 0.1,
        "seconds": 1.0,
        "gradients/cosine": -0.5,
        "gradients/conflicts": 1.0,
        "train/a": 1.0,
        "train/b": 2.0,
        "validation/a": 1.5,
        "weight/a": 0.25,
        "weight/b": 0.75,
        "metrics/a/error": 0.5,
    }
    assert not [key for _, each in content.curve(record(0, "equal")) for key in each if "gradients" in key or "weight" in key]


def test_lines_of_the_table_of_trials_are_as_long_as_its_header() -> None:
    failed = msgspec.structs.replace(record(1, status="error"), test={}, curve=[], selected_step=None, cost=None, message="it\nfailed")
    columns, lines = content.trials([record(0), failed])
    assert {len(line) for line in lines} == {len(columns)}
    assert dict(zip(columns, lines[1], strict=True))["test/a/error"] is None
    assert content.trials([])[1] == []


def test_the_summary_counts_failures() -> None:
    found = content.summary([record(0), record(1, status="degraded"), record(2, status="oom")], None)
    assert (found["trials/done"], found["trials/failed"]) == (2, 1)
    assert found["trials/status"] == {"degraded": 1, "ok": 1, "oom": 1}


def test_tags_are_no_longer_than_wandb_has_them() -> None:
    long = record(0, "a" * 100)
    assert content.tags(long) == ["a" * 64, "wine", "tiny"]


# -- the ledger ----------------------------------------------------------------------------------------------------------------------------


def test_a_ledger_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "study.ledger"
    first = Ledger(path)
    first.add(digest(record(0)))
    again = Ledger(path)
    assert (again.run, len(again)) == (first.run, 1)
    assert again.has(digest(record(0)))
    assert not again.has(digest(record(0, status="error")))  # a trial that was run again is another row


def test_every_place_that_a_study_is_tracked_to_has_a_ledger_of_its_own(tmp_path: Path) -> None:
    places = [
        ("offline", "", "", "p", "study"),
        ("online", "", "", "p", "study"),
        ("offline", "", "", "q", "study"),
        ("offline", "", "p", "", "study"),
    ]
    assert len({Ledger.path(tmp_path, "tiny", place) for place in places}) == 4


def test_variables_of_another_run_do_not_reach_the_service_but_the_log_in_does() -> None:
    given = {"WANDB_API_KEY": "k", "WANDB_BASE_URL": "u", "WANDB_RUN_ID": "1", "WANDB_MODE": "disabled", "WANDB_DIR": "/", "PATH": "/bin"}
    found = environment(given, "/short")
    assert {"WANDB_API_KEY", "WANDB_BASE_URL", "PATH"} <= found.keys()
    assert not {"WANDB_RUN_ID", "WANDB_MODE", "WANDB_DIR"} & found.keys()
    assert found["TMPDIR"] == "/short"


# -- when W&B does not work ----------------------------------------------------------------------------------------------------------------

FAKE = """
import os, sys, time

class Settings:
    model_fields = {{}}
    base_url = "http://127.0.0.1:9"
    settings = property(lambda self: self)

class Table:
    MAX_ROWS = 10000
    def __init__(self, **k): pass

class Artifact:
    def __init__(self, *a, **k): pass
    def new_file(self, name, mode="w", encoding=None): return open(os.devnull, mode, encoding=encoding)

class plot:
    bar = staticmethod(lambda *a, **k: None)

class Image:
    def __init__(self, path): pass

class Run:
    url, summary = "", {{}}
    def define_metric(self, *a, **k): pass
    def log(self, *a, **k): log()
    def log_artifact(self, *a): pass
    def finish(self, exit_code=0): finish()

def setup(): return Settings()
def init(**k): {init}; return Run()
def log(): {log}
def finish(): {finish}
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A wandb that does this or that; its threads and processes are left out."""

    def make(init: str = "pass", log: str = "pass", finish: str = "pass") -> None:
        (tmp_path / "fake").mkdir()
        (tmp_path / "fake" / "wandb.py").write_text(FAKE.format(init=init, log=log, finish=finish), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "fake"))

    return make


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"init": "raise ConnectionError('no core')"}, "no core"),
        ({"log": "raise OSError(28, 'No space left on device')"}, "No space left on device"),
        ({"log": "sys.exit(3)"}, "SystemExit: 3"),
        ({"log": "os._exit(3)"}, "its process has ended"),
        ({"log": "os.kill(os.getpid(), 9)"}, "its process has ended"),
        ({"log": "print('noise'); print('noise', file=sys.stderr); raise ValueError('[red]x')"}, "ValueError: [red]x"),
    ],
    ids=["init", "disk", "exit", "gone", "killed", "noise"],
)
def test_its_failure_is_one_warning_with_the_command_that_sends_the_rest(
    trouble: dict[str, str], reason: str, fake: Callable[..., None], store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    fake(**trouble)
    said = track(Options(mode="offline"), store, [record(seed) for seed in range(3)])
    (warning,) = [line for line in said.splitlines() if line.startswith("warning")]
    assert "W&B tracking has stopped: " in warning
    assert f"{reason}; the study is not affected" in warning
    assert f"wandb sync {store.root}/wandb/offline-run-*" in warning
    assert len(store.scan().records) == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["init", "log", "finish"])
def test_a_hang_neither_blocks_the_study_nor_its_end(
    where: str, fake: Callable[..., None], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(watcher.STALL, "offline", 2.0)
    fake(**{where: "time.sleep(1000)"})
    for seed in range(5):
        store.save(record(seed))
    console = Console(file=io.StringIO(), width=400)
    with Tracker(Options(mode="offline"), store, console) as tracker:
        tracker.log_in()
        tracker.begin(study())
        slowest = 0.0
        for seed in range(2000):  # more than a pipe takes
            start = time.perf_counter()
            tracker.seen(record(seed % 5))
            slowest = max(slowest, time.perf_counter() - start)
        tracker.end([], [record(seed) for seed in range(5)])
        service = tracker._process.pid  # type: ignore[union-attr]
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert slowest < 1.0  # a call that waited for the service would have taken the two seconds; a busy machine takes a quarter
    assert "W&B tracking has stopped: nothing has happened for 2 s; the study is not affected" in said
    with pytest.raises(ProcessLookupError):
        os.killpg(service, 0)


def test_a_study_that_is_interrupted_lets_the_service_close_the_run(fake: Callable[..., None], store: Store, tmp_path: Path) -> None:
    fake(finish=f"open({str(tmp_path / 'closed')!r}, 'w').close()")
    store.save(record(0))
    with pytest.raises(KeyboardInterrupt), Tracker(Options(mode="offline"), store, Console(file=io.StringIO())) as tracker:  # noqa: PT012
        tracker.log_in()
        tracker.begin(study())
        tracker.seen(record(0))
        raise KeyboardInterrupt
    assert (tmp_path / "closed").exists()


def test_the_service_ends_when_its_study_is_killed(fake: Callable[..., None], store: Store, tmp_path: Path) -> None:
    fake(finish=f"open({str(tmp_path / 'closed')!r}, 'w').close()")
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        tracker = Tracker(Options(mode="offline"), store, Console(file=io.StringIO()))
        tracker.log_in()
        tracker.begin(study())
        (tmp_path / "service").write_text(str(tracker._process.pid))  # type: ignore[union-attr]
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    service = int((tmp_path / "service").read_text(encoding="ascii"))
    deadline = time.monotonic() + 60
    while not (tmp_path / "closed").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "closed").exists()
    while time.monotonic() < deadline:
        try:
            os.killpg(service, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the service is still there")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(mode="onlin"), "--wandb is 'onlin'; expected one of off, offline, online"),
        (Options(runs="seed"), "--wandb-runs is 'seed'; expected one of study, trial"),
        (Options(project="a/b"), "--wandb-project is 'a/b', which contains /; expected 1 to 128 characters"),
        (Options(project=""), "--wandb-project is '', which has 0 characters"),
    ],
    ids=["mode", "runs", "project", "empty"],
)
def test_a_mistake_is_said_before_anything_starts(options: Options, expected: str) -> None:
    with pytest.raises(UsageError) as raised:
        options.check()
    assert str(raised.value).startswith(expected)


def test_a_wandb_that_works_gives_no_warning(fake: Callable[..., None], store: Store) -> None:
    fake()
    said = track(Options(mode="offline"), store, [record(seed) for seed in range(3)])
    (ledger,) = (store.root / "wandb").glob("*.ledger")
    run, *held = ledger.read_text(encoding="utf-8").splitlines()
    assert said.splitlines() == [
        f"W&B run: {run} in {store.root}/wandb",
        f"send it: wandb sync {store.root}/wandb/offline-run-*-{run}*",
    ]
    assert held == [*(digest(record(seed)) for seed in range(3)), "tables"]


def test_off_starts_nothing(store: Store) -> None:
    assert track(Options(), store, [record(0)]) == ""
    assert not (store.root / "wandb").exists()
