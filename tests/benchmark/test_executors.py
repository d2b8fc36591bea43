"""The executors' contract: one outcome a job, whatever the trials do to their process, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmark import executors
from benchmark.executors import Executor, ExecutorError, Fault, Outcome, Resources
from benchmark.records import RunRecord

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

sys.path.insert(0, str(HERE))  # workers get this path too; not left to pytest, whose import mode may change
from executor_work import job  # noqa: E402

WORK = "executor_work:run"
GRACE = 20.0
"""Seconds that killing, replacing and scheduling may take on a busy machine, all together."""


def create(name: str = "local", *, jobs: int = 2, timeout: float | None = 60.0, work: str = WORK) -> Executor:
    return executors.create(name, Resources(jobs, timeout), work=work)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """One pool for all tests that need nothing special: its workers are warm, and each test leaves it usable or shows that it does not."""
    with create() as executor:
        yield executor


def by_seed(outcomes: Iterator[Outcome]) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    for outcome in outcomes:
        assert outcome.job.spec.seed not in found, "a job has come out twice"
        assert (not outcome.records) != (outcome.fault is None)
        found[outcome.job.spec.seed] = outcome
    return found


def record_of(outcome: Outcome) -> RunRecord:
    (record,) = outcome.records
    return record


def fault_of(outcome: Outcome) -> Fault:
    assert outcome.fault is not None
    return outcome.fault


# Interface


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ExecutorError, match=r"unknown executor 'locla': did you mean 'local'\? Available: inline, local, ray"):
        create("locla")
    with pytest.raises(ExecutorError, match=r"unknown executor 'zzz': Available: inline, local, ray"):
        create("zzz")


@pytest.mark.parametrize(("jobs", "timeout"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_numbers_that_make_no_sense_are_refused(jobs: int, timeout: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        create(jobs=jobs, timeout=timeout)


@pytest.mark.parametrize("name", executors.names())
def test_no_jobs_no_outcomes(name: str) -> None:
    with create(name) as executor:
        assert list(executor.run([])) == []


# What comes back


@pytest.mark.parametrize("workers", [1, 3])
def test_local_returns_what_inline_returns(workers: int) -> None:
    jobs = [job(seed, "raise" if seed == 3 else "return", x=0.1 * seed, n=seed, flag=True, text="ü") for seed in range(7)]
    with create("inline") as executor:
        expected = [(o.job, o.records, o.fault and o.fault.message) for o in executor.run(jobs)]
    with create(jobs=workers) as executor:
        outcomes = list(executor.run(jobs))
    assert [o.job for o in outcomes] == jobs or workers > 1, "one worker keeps the order"
    outcomes.sort(key=lambda o: o.job.spec.seed)
    assert [(o.job, o.records, o.fault and o.fault.message) for o in outcomes] == expected


def test_outcomes_come_as_they_complete(pool: Executor) -> None:
    outcomes = list(pool.run([job(0, "sleep", seconds=2.0), job(1), job(2)]))
    assert [o.job.spec.seed for o in outcomes] == [1, 2, 0]
    assert all(record_of(o).events == {"seed": o.job.spec.seed} for o in outcomes)


def test_a_record_larger_than_a_pipe_comes_through(pool: Executor) -> None:
    (outcome,) = pool.run([job(0, "big")])
    assert len(record_of(outcome).environment["ballast"]) == 5_000_000


@pytest.mark.parametrize("name", ["inline", "local"])
@pytest.mark.parametrize(
    ("act", "status", "message"),
    [
        ("raise", "error", r"ValueError: no such luck \(executor_work.py:\d+\)"),
        ("memory", "oom", "MemoryError: too big"),
        ("sys.exit", "error", "SystemExit: bye"),
        ("not a record", "error", "bad record"),
        ("forged", "error", "bad record: id 0+ does not match"),
        ("other", "error", r"returned the record of [0-9a-f]{20}"),
    ],
)
def test_work_that_fails_is_a_fault_with_its_message(pool: Executor, name: str, act: str, status: str, message: str) -> None:
    executor = pool if name == "local" else create(name)
    found = by_seed(executor.run([job(0), job(1, act), job(2)]))
    record_of(found[0]), record_of(found[2])
    assert fault_of(found[1]).status == status
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(fault_of(found[1]).message)
    assert "\n" not in fault_of(found[1]).message


# What happens to a worker


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("kill", "worker died: signal 9 (SIGKILL); out of memory?"),
        ("segfault", "worker died: signal 11 (SIGSEGV)"),
        ("os._exit", "worker died: exit code 3; last output: leaving the house"),
    ],
)
def test_a_worker_that_dies_costs_one_trial(pool: Executor, act: str, message: str) -> None:
    found = by_seed(pool.run([job(seed, act if seed == 2 else "return") for seed in range(8)]))
    assert sorted(found) == list(range(8))
    assert [seed for seed in found if found[seed].fault] == [2]
    assert (fault_of(found[2]).status, fault_of(found[2]).message) == ("error", message)


def test_every_trial_may_die() -> None:
    with create() as executor:
        found = by_seed(executor.run([job(seed, "kill") for seed in range(6)]))
    assert all(fault_of(found[seed]).status == "error" for seed in range(6))


def test_a_hung_trial_is_killed_in_time_and_the_others_finish() -> None:
    timeout = 1.5
    with create(timeout=timeout) as executor:
        start = time.monotonic()
        found = by_seed(executor.run([job(0, "ignore"), *(job(seed) for seed in range(1, 6)), job(6, "spin")]))
        wall = time.monotonic() - start
    for seed in (0, 6):
        fault = fault_of(found[seed])
        assert fault.status == "timeout"
        assert "still running after" in fault.message
        assert timeout <= fault.seconds < timeout + GRACE
    assert all(found[seed].records for seed in range(1, 6))
    assert wall < 2 * timeout + GRACE


def test_a_slow_reader_is_no_timeout() -> None:
    """The trial had finished; that nobody looked until after its deadline is not its fault."""
    with create(jobs=2, timeout=1.0) as executor:
        outcomes = executor.run([job(0), job(1), job(2), job(3)])
        first = next(outcomes)
        time.sleep(1.5)
        found = by_seed(iter([first, *outcomes]))
    assert all(found[seed].records for seed in range(4))


def test_what_trials_print_does_not_reach_the_terminal(pool: Executor, capfd: pytest.CaptureFixture[str]) -> None:
    found = by_seed(pool.run([job(seed, "print") for seed in range(4)]))
    assert all(found[seed].records for seed in range(4))
    assert capfd.readouterr() == ("", "")


def test_workers_have_one_torch_thread_and_the_driver_keeps_its_environment() -> None:
    before = dict(os.environ)
    with create() as executor:
        environments = [record_of(o).environment for o in executor.run([job(seed, "threads") for seed in range(4)])]
    assert environments == [{"torch": "1", "omp": "1"}] * 4
    assert dict(os.environ) == before


def test_workers_are_few_and_stay_warm() -> None:
    with create(jobs=8) as executor:
        pids = {record_of(o).environment["pid"] for o in executor.run([job(0, "pid"), job(1, "pid")])}
        assert 1 <= len(pids) <= 2, "no more workers than jobs"
        start = time.monotonic()
        outcomes = list(executor.run([job(seed, "pid") for seed in range(20)]))
        wall = time.monotonic() - start
    assert len(outcomes) == 20
    assert wall < 5.0, "eight workers started, twenty trivial jobs"


def test_a_warm_job_costs_next_to_nothing() -> None:
    with create(jobs=1) as executor:
        list(executor.run([job(0)]))
        start = time.monotonic()
        outcomes = list(executor.run([job(seed) for seed in range(20)]))
        wall = time.monotonic() - start
    assert len(outcomes) == 20
    assert wall < 1.0


def test_an_iterator_closed_with_nothing_under_way_leaves_the_pool_warm() -> None:
    with create(jobs=1) as executor:
        first, second = (record_of(next(executor.run([job(0, "pid")]))).environment["pid"] for _ in range(2))
    assert first == second


def test_an_idle_worker_that_was_killed_is_replaced_unnoticed() -> None:
    with create(jobs=1) as executor:
        for _ in range(10):  # the job may be sent before, while and after the kernel takes the worker apart
            (outcome,) = executor.run([job(0, "pid")])
            os.kill(int(record_of(outcome).environment["pid"]), signal.SIGKILL)
            found = by_seed(executor.run([job(0), job(1)]))
            assert found[0].records
            assert found[1].records


# Not starting


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("no_such_module_xyz:run", "ModuleNotFoundError: No module named 'no_such_module_xyz'"),
        ("executor_work:nothing", "module 'executor_work' has no function 'nothing'"),
        ("executor_work", "expected 'module:function'"),
        ("executor_broken:run", "RuntimeError: this module is broken"),
    ],
)
@pytest.mark.parametrize("name", ["inline", "local"])
def test_work_that_cannot_be_imported_is_said_once(name: str, work: str, message: str) -> None:
    with create(name, work=work) as executor, pytest.raises(ExecutorError, match=message):
        list(executor.run([job(seed) for seed in range(10)]))


def test_a_broken_module_does_not_take_the_fork_server_along(tmp_path: Path) -> None:
    """In a fresh program, where the server is the first to import it."""
    driver = drive(tmp_path, ["return"], work="executor_broken:run")
    _, errors = driver.communicate(timeout=60)
    assert errors.splitlines()[-1].endswith("ExecutorError: a worker could not start: RuntimeError: this module is broken")
    assert driver.returncode == 1


# Leaving


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    jobs = [job(0), *(job(seed, "ignore", pids=str(folder)) for seed in (1, 2))]
    with create() as executor:
        outcomes = executor.run(jobs)
        next(outcomes)
        with pytest.raises(ExecutorError, match="still running other jobs"):
            next(executor.run(jobs))
        assert until(lambda: pids(tmp_path) != [])
        start = time.monotonic()
        outcomes.close()  # type: ignore[attr-defined]
        assert time.monotonic() - start < GRACE
        assert not any(alive(pid) for pid in pids(tmp_path))
        found = by_seed(executor.run([job(3)]))
        assert found[3].records, "and the executor can be used again"


def test_an_exception_in_the_reader_ends_the_workers(tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    with pytest.raises(ZeroDivisionError), create() as executor:  # noqa: PT012 - the loop is what is interrupted
        for _ in executor.run([job(0), *(job(seed, "ignore", pids=str(folder)) for seed in (1, 2))]):
            assert until(lambda: pids(tmp_path) != [])
            raise ZeroDivisionError
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_closing_while_jobs_run_is_not_passed_over(tmp_path: Path) -> None:
    executor = create()
    outcomes = executor.run([job(0), job(1, "ignore"), job(2)])
    next(outcomes)
    executor.close()
    executor.close()
    with pytest.raises(ExecutorError, match="closed before its jobs were done"):
        list(outcomes)


@pytest.mark.parametrize("name", ["inline", "local"])
def test_ctrl_c_ends_everything_at_once_and_quietly(tmp_path: Path, name: str) -> None:
    driver = drive(tmp_path, ["return", "sleep", "sleep"], name=name)
    assert until(lambda: (tmp_path / "outcomes").exists() and len(pids(tmp_path)) == (2 if name == "local" else 1))
    time.sleep(0.3)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: everyone in the foreground gets it
    driver.wait(timeout=GRACE / 2)
    _, errors = driver.communicate(timeout=GRACE)
    assert driver.returncode == 130
    assert errors == ""
    assert until(lambda: not session(driver), 10.0)


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_ctrl_c_during_start_up_is_quiet_too(tmp_path: Path, delay: float) -> None:
    driver = drive(tmp_path, ["sleep", "sleep"])
    assert until(lambda: (tmp_path / "started").exists())
    time.sleep(delay)
    os.killpg(driver.pid, signal.SIGINT)
    driver.wait(timeout=GRACE / 2)
    _, errors = driver.communicate(timeout=GRACE)
    assert errors == ""
    assert driver.returncode == 130
    assert until(lambda: not session(driver), 10.0)


def test_kill_9_of_the_driver_leaves_nobody(tmp_path: Path) -> None:
    driver = drive(tmp_path, ["return", "sleep", "spin"])
    assert until(lambda: (tmp_path / "outcomes").exists() and len(pids(tmp_path)) == 2)
    assert len(session(driver)) >= 4, "driver, fork server, two workers"
    driver.kill()  # one of its workers sleeps, the other never leaves Python
    driver.communicate(timeout=GRACE)
    assert until(lambda: not session(driver), 10.0)


def test_a_script_without_main_guard_or_close_runs_once_and_ends(tmp_path: Path) -> None:
    """If workers ran the main file too, each would start a pool; and a pool that nobody closed must not keep its program from ending."""
    driver = drive(tmp_path, ["return"] * 4, close=False)
    _, errors = driver.communicate(timeout=60)
    assert (driver.returncode, errors) == (0, "")
    assert until(lambda: not session(driver), 10.0)
    assert (tmp_path / "started").read_text() == "x"
    assert sorted((tmp_path / "outcomes").read_text().split()) == ["0", "1", "2", "3"]


DRIVER = """
import sys
from pathlib import Path
from benchmark import executors
from executor_work import job
folder, name, work, close, *acts = sys.argv[1:]
jobs = [job(seed, act, seconds=120.0, pids=folder + "/pids") for seed, act in enumerate(acts)]
executor = executors.create(name, executors.Resources(jobs=2), work=work)
try:
    with open(folder + "/started", "a") as file:
        file.write("x")
    for outcome in executor.run(jobs):
        assert outcome.records, outcome.fault
        with open(folder + "/outcomes", "a") as file:
            print(outcome.job.spec.seed, file=file)
except KeyboardInterrupt:
    sys.exit(130)
finally:
    if close == "True":
        executor.close()
"""


def drive(folder: Path, acts: list[str], *, name: str = "local", work: str = WORK, close: bool = True) -> subprocess.Popen[str]:
    """Starts a program that runs these jobs with two workers, in a process group of its own."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    (folder / "pids").mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), name, work, str(close), *acts],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT,
    )  # fmt: skip


def pids(folder: Path) -> list[int]:
    """Workers that have run a job."""
    return [int(path.name) for path in folder.glob("pids/*")]


def session(driver: subprocess.Popen[str]) -> list[int]:
    """Every process alive that descends from this driver, whoever its parent is by now: the fork server, workers, multiprocessing's own."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if alive(pid) and stat(pid)[3] == str(driver.pid)]


def stat(pid: int) -> list[str]:
    """State, parent, process group, session, ...; of nobody: an X, as the kernel writes for the dead."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ["X", "", "", ""]


def alive(pid: int) -> bool:
    """A zombie is not: in a container nobody may ever ask for its exit code."""
    return stat(pid)[0] not in "ZX"


def until(condition: Callable[[], bool], limit: float = 60.0) -> bool:
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_users_code_leaves_nothing_behind_for_other_trials() -> None:
    with create(jobs=1) as executor:
        jobs = [job(seed, "dirty", sources=("mine.py",)) if seed % 2 else job(seed, "dtype") for seed in range(6)]
        outcomes = list(executor.run(jobs))
    assert [outcome.job.spec.seed for outcome in outcomes] == list(range(6))
    assert {record_of(outcome).environment["dtype"] for outcome in outcomes[::2]} == {"torch.float32"}
    assert all(outcome.records for outcome in outcomes)
