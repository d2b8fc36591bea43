"""The executors' contract once more, for Ray: the same outcomes, the same quiet, and nobody left behind. One Ray for most of it."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest
from executor_work import job
from test_executors import GRACE, WORK, by_seed, drive, fault_of, pids, record_of, session, until

from benchmark import executors
from benchmark.executors import Executor, ExecutorError, Fault, Job, Outcome, Resources, cluster, ray, remote

pytest.importorskip("ray", reason="ray is not installed (extra `sweep`)")
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # Ray kills its own, and does not wait

TIMEOUT = 8.0
METHOD = '''
import torch
import methods

@methods.register(methods.Card(name="travels", version=1, title="T", paper="-", year=2026, family="loss", equation="-"))
class Travels(methods.LossMethod):
    """The mean."""

    def objective(self, losses: torch.Tensor) -> torch.Tensor:
        return losses.mean()
'''


def create(*, jobs: int | None = 2, timeout: float | None = TIMEOUT, work: str = WORK, **resources: object) -> Executor:
    return executors.create("ray", Resources(jobs, timeout, **resources), work=work)  # type: ignore[arg-type]


FATES = ["raise", "memory", "sys.exit", "not a record", "forged", "other", "big"]
"""What inline can be compared with."""
DEATHS = {
    "kill": "signal 9 (SIGKILL); out of memory?",
    "segfault": "signal 11 (SIGSEGV)",
    "os._exit": "exit code 3; last output: leaving the house",
}
PIDS = range(20, 40)
DTYPES = range(40, 50)
START = 300.0
"""Seconds that Ray and its workers may take to start where others use the machine: twenty seconds of a core."""


def jobs() -> list[Job]:
    acts = {0: "ignore", **dict(enumerate(["return", "print", "threads", *FATES, *DEATHS], start=1))}
    return [
        *(job(seed, act, x=0.1 * seed, flag=True, text="ü") for seed, act in acts.items()),
        *(job(seed, "pid") for seed in PIDS),
        *(job(seed, "dtype") if seed % 4 else job(seed, "dirty", sources=("mine.py",)) for seed in DTYPES),
    ]


@pytest.fixture(scope="module")
def swept() -> list[Outcome]:
    """One sweep in which everything happens that may: Ray takes ten seconds of a core to start, and its workers as many."""
    with create() as executor:
        assert list(executor.run([])) == []
        return list(executor.run(jobs()))


def essence(outcome: Outcome) -> tuple[Job, object, str | None]:
    return outcome.job, outcome.records, outcome.fault and outcome.fault.message


def test_ray_returns_what_inline_and_local_return(swept: list[Outcome]) -> None:
    found = by_seed(iter(swept))
    assert sorted(found) == [each.spec.seed for each in jobs()]
    ours = [essence(found[seed]) for seed in range(2, 4 + len(FATES))]
    with executors.create("local", Resources(1, TIMEOUT), work=WORK) as local:
        assert ours == [essence(outcome) for outcome in local.run(jobs()[2 : 4 + len(FATES)])]
    with executors.create("inline", work=WORK) as inline:  # but for its output and its threads, which are the caller's
        assert ours[2:] == [essence(outcome) for outcome in inline.run(jobs()[4 : 4 + len(FATES)])]
    assert record_of(found[3]).environment == {"torch": "1", "omp": "1"}


def test_a_hung_trial_is_killed_in_time_and_holds_up_no_other(swept: list[Outcome]) -> None:
    """Outcomes come as they complete, and not as they were handed out: it was the first."""
    assert [outcome.job.spec.seed for outcome in swept].index(0) > 0
    fault = fault_of(by_seed(iter(swept))[0])
    assert fault.status == "timeout"
    assert TIMEOUT <= fault.seconds < TIMEOUT + GRACE


def test_a_worker_that_dies_costs_one_trial(swept: list[Outcome]) -> None:
    found = by_seed(iter(swept))
    messages = [fault_of(found[4 + len(FATES) + place]).message for place in range(len(DEATHS))]
    assert messages == [f"worker died: {end}" for end in DEATHS.values()]
    assert all(found[seed].records for seed in (*PIDS, *DTYPES))


def test_workers_are_few_and_clean_of_users_code(swept: list[Outcome]) -> None:
    found = by_seed(iter(swept))
    assert len({record_of(found[seed]).environment["pid"] for seed in PIDS}) <= 2 + len(DEATHS)
    assert {record_of(found[seed]).environment.get("dtype") for seed in DTYPES if seed % 4} == {"torch.float32"}


@pytest.mark.parametrize(
    ("work", "message"),
    [("no_such_module_xyz:run", "No module named 'no_such_module_xyz'"), ("executor_broken:run", "RuntimeError: this module is broken")],
)
@pytest.mark.slow
def test_work_that_cannot_be_imported_is_said_once(work: str, message: str) -> None:
    with create(work=work) as executor, pytest.raises(ExecutorError, match=message):
        list(executor.run([job(seed) for seed in range(10)]))


@pytest.mark.slow
def test_it_can_be_left_early_and_used_again(tmp_path: Path) -> None:
    before = dict(os.environ)
    (tmp_path / "pids").mkdir()
    with create() as executor:
        outcomes = executor.run([job(0), *(job(seed, "ignore", pids=str(tmp_path / "pids")) for seed in (1, 2))])
        next(outcomes)
        with pytest.raises(ExecutorError, match="still running other jobs"):
            next(executor.run([job(3)]))
        assert until(lambda: pids(tmp_path) != [], START)
        start = time.monotonic()
        outcomes.close()  # type: ignore[attr-defined]
        assert time.monotonic() - start < GRACE
        assert until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids(tmp_path)), 10.0)
        assert by_seed(executor.run([job(3)]))[3].records
        outcomes = executor.run([job(0), job(1, "ignore"), job(2)])
        next(outcomes)
        executor.close()
        with pytest.raises(ExecutorError, match="closed before its jobs were done"):
            list(outcomes)
    assert dict(os.environ) == before


@pytest.mark.slow
@pytest.mark.parametrize("delay", [2.0, 5.0, None])
def test_ctrl_c_ends_everything_quietly(tmp_path: Path, delay: float | None) -> None:
    """At two moments of Ray's start, and with trials under way."""
    driver = drive(tmp_path, ["return", "sleep", "sleep"], name="ray")
    assert until(lambda: (tmp_path / "started").exists(), START)
    if delay is None:
        assert until(lambda: (tmp_path / "outcomes").exists() and len(pids(tmp_path)) == 2, START)
    time.sleep(delay or 0.5)
    os.killpg(driver.pid, signal.SIGINT)
    assert (driver.communicate(timeout=60), driver.returncode) == (("", ""), 130)
    assert until(lambda: not session(driver), 10.0)


@pytest.mark.slow
def test_kill_9_of_the_driver_leaves_no_trial(tmp_path: Path) -> None:
    """Two of Ray's own agents stay for up to a minute: they are idle, and end by themselves."""
    driver = drive(tmp_path, ["return", "sleep", "spin"], name="ray")
    assert until(lambda: (tmp_path / "outcomes").exists() and len(pids(tmp_path)) == 2, START)
    driver.kill()
    driver.communicate(timeout=GRACE)
    assert until(lambda: len(session(driver)) <= 2, GRACE)
    assert until(lambda: not session(driver), 120.0)


@pytest.mark.slow
def test_a_program_that_closes_nothing_ends_and_says_nothing(tmp_path: Path) -> None:
    driver = drive(tmp_path, ["print"] * 4, name="ray", close=False)
    assert (driver.communicate(timeout=120), driver.returncode) == (("", ""), 0)
    assert until(lambda: not session(driver), 10.0)


# Clusters


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        with create(jobs=None, address=address) as executor, pytest.raises(ExecutorError, match=f"--address {address}: no Ray answers"):
            list(executor.run([job(0)]))
    assert time.monotonic() - start < GRACE


def test_a_port_where_something_else_listens_is_said_at_once() -> None:
    class Web(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(ExecutorError, match="is not the head of a Ray cluster"):
            cluster.reach(f"127.0.0.1:{server.server_port}")


@pytest.mark.slow
def test_a_trial_that_fits_on_no_machine_is_said_at_once() -> None:
    with create(gpus_per_trial=64.0) as executor, pytest.raises(ExecutorError, match=r"no machine has the 1 CPUs and 64 GPUs of one trial"):
        list(executor.run([job(0)]))


def test_what_tune_gave_up_on_is_a_fault_of_the_job_or_says_what_to_install() -> None:
    lost = ray._lost(job(0), "Failure # 4\nThe actor died unexpectedly before finishing this task.\n", 2.5)
    assert lost == Outcome(job(0), fault=Fault("error", "lost 4 times with its machine or Ray's process there", 2.5, machine=True))
    full = ray._lost(job(0), "Task was killed due to the node running low on memory.\n", 2.5)
    assert isinstance(full, Outcome)
    assert fault_of(full).status == "oom"
    bare = ray._lost(job(0), "The actor with name ImplicitFunc failed to import on the worker.\n", 2.5)
    assert isinstance(bare, ExecutorError)
    assert "install the same lossbench[sweep]" in str(bare)


def test_a_node_with_another_version_makes_no_records() -> None:
    terms = remote.Terms(WORK, Resources(), {**remote.versions(), "protocol": "0"})
    error = remote.unpack(job(0), remote.answer(msgspec.msgpack.encode(terms), remote.pack(job(0))))
    assert isinstance(error, ExecutorError)
    assert str(error) == "a worker has protocol 1, the driver 0: install one lossbench on all of the cluster"


def test_files_of_methods_and_problems_travel_with_their_job_to_nodes_that_do_not_see_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(METHOD)
    sources = (str(path), f"{path}:Travels", "torchjd:Sum")
    here = msgspec.structs.replace(job(0, sources=sources), problems=(f"{path}:PROBLEM", "package.module:PROBLEM"))
    parcel = msgspec.msgpack.decode(remote.pack(here), type=remote.Parcel)
    assert remote._at_home(parcel) == here, "a node that sees the file uses it"
    path.unlink()
    first, second, third = remote._at_home(parcel).sources
    assert Path(first).name == "mine.py"
    assert Path(first).read_text() == METHOD
    assert second == f"{first}:Travels"
    assert third == "torchjd:Sum"
    assert remote._at_home(parcel).problems == (f"{first}:PROBLEM", "package.module:PROBLEM")
