"""Ray Tune: one machine, or a cluster of them. One Tune trial a job; the trials run in reused actors, each with a warm worker behind it.

Tune hands out the jobs and starts those again that were lost with their machine. Nothing else of it is used: what it writes goes into a
temporary folder that nobody reads, and what a trial gives comes back as bytes.
"""

from __future__ import annotations

import atexit
import functools
import logging
import math
import os
import queue
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmark.executors import ExecutorError, Fault, Job, Outcome, Resources, Started
from benchmark.executors.remote import Terms, pack, unpack, versions
from benchmark.executors.work import one_line

LOSSES = 3
"""Times that a job is started again because its machine, or Ray's process on it, was lost."""

UNFIT = "a machine of the cluster cannot run trials: install the same lossbench[sweep] on all of them"

REACH = 3.0
"""Seconds to wait for a cluster's port to open a connection, before Ray is left to try, which it does for minutes."""

SETTINGS_FRAME = b"\x04"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS_FRAME + b"\0\0\0\0\0"
"""How every HTTP/2 connection begins (RFC 9113, 3.4); a server of it answers with a frame of the same type, in its fourth byte."""

PATIENCE = {"RAY_gcs_server_port_wait_time_s": "4"}
"""Times that Ray asks a head that listens but does not let it in, unless the user says otherwise; each takes about a second."""

LEAVE = 30.0
"""Seconds that Ray may take to end: it takes two or three, or as long as its start if it is still starting."""

OBJECT_STORE = 256 * 2**20
"""Bytes of shared memory on this machine: jobs and records are all that passes through it; Ray would reserve a third of the memory."""

LONGEST_FOLDER = 40
"""Characters: a socket's path has at most 107, of which Ray adds some 60 to the folder's."""

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no files a trial: half the time of a trivial one
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # no snapshots of a state that is never restored
    "TUNE_WARN_THRESHOLD_S": "1e9",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is for the study, not to end a search and go on
    "RAY_ENABLE_AUTO_CONNECT": "0",  # whoever asks a Ray that was shut down must not start another
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray is about to do by itself, and warns of
}
"""Environment variables while Ray runs."""


class RayExecutor:
    """Up to ``jobs`` trials at once, or all that a cluster has room for, through ``ray.tune.Tuner``.

    Ray starts with the first ``run`` and stays until ``close``. A job that is lost with its node runs again elsewhere, up to ``LOSSES``
    times; everything else that befalls a trial is a fault of that trial, as in ``local``. Whatever ends a ``run`` early, Ctrl-C included,
    stops Ray on this machine, or this program's actors on the cluster, and the next ``run`` starts anew.
    """

    def __init__(self, *, resources: Resources, work: str) -> None:
        self._resources = resources
        self._work = work
        self._ray: _RayThread | None = None
        self._sweep: _Sweep | None = None

    def run(self, jobs: Sequence[Job], started: Started | None = None) -> Iterator[Outcome]:
        """Yields the outcomes in the order of completion.

        Raises:
            ExecutorError: Ray is not installed or does not start, the cluster is not there or has no room, a node has another version or
                cannot import the work, the previous ``run`` was not read to its end, or this one was closed meanwhile.
        """
        if self._sweep is not None:
            raise ExecutorError("this executor is still running other jobs: finish or close that iterator first")
        if not jobs:
            return
        self._sweep = sweep = _Sweep(jobs, self._resources, self._work)
        try:
            self._ray = self._ray or _RayThread(self._resources)
            self._ray.orders.put(sweep)
            left = len(jobs)
            while left:
                outcome = sweep.next()
                if isinstance(outcome, Job):
                    if started is not None:
                        started(outcome)
                    continue
                if self._sweep is not sweep:
                    raise ExecutorError("this executor was closed before its jobs were done")
                if outcome is None:
                    raise ExecutorError("Ray Tune ended before all jobs had an outcome: run again, what is recorded is kept")
                left -= 1
                yield outcome
            while sweep.next() is not None:
                pass  # Tune puts away its actors
            self._sweep = None
        finally:
            if self._sweep is sweep:  # whatever ended it early
                self.close()

    def close(self) -> None:
        """Stops Ray here and removes its folder. A later ``run`` starts it again."""
        self._sweep = None
        thread, self._ray = self._ray, None
        if thread is not None:
            thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _RayThread:
    """The one thread that talks to Ray, from its start to its end.

    Ctrl-C arrives in the main thread and nowhere else: inside Ray's start it would leave half a core worker, which crashes the program.
    The thread has to outlive what it starts, too: Linux ends Ray's processes with the thread that they came from.
    """

    def __init__(self, resources: Resources) -> None:
        self.orders: queue.SimpleQueue[_Sweep | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(resources,), name="lossbench-ray", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the sweep under way, if there is one, and Ray; waits for it unless Ray hangs."""
        atexit.unregister(self.close)
        self._over.set()
        self.orders.put(None)
        self._thread.join(LEAVE)

    def _live(self, resources: Resources) -> None:
        failure: ExecutorError | None = None
        try:
            with session(resources, self._over):
                atexit.register(self.close)  # after Ray's own, and so called before it
                while (sweep := self.orders.get()) is not None:
                    sweep.fit(self._over)
        except _Unwanted:
            failure = ExecutorError("this executor was closed before its jobs were done")
        except ExecutorError as error:
            failure = error
        except BaseException as error:  # noqa: BLE001 - told where it can be seen
            failure = ExecutorError(f"Ray does not start: {one_line(error)}")
        if failure is not None:
            while (sweep := self.orders.get()) is not None:
                sweep.inbox.put(failure)


class _Sweep:
    """One ``Tuner.fit``, and the inbox that its outcomes arrive in."""

    def __init__(self, jobs: Sequence[Job], resources: Resources, work: str) -> None:
        self.inbox: queue.SimpleQueue[Job | Outcome | ExecutorError | None] = queue.SimpleQueue()
        self._jobs, self._resources, self._work = jobs, resources, work

    def next(self) -> Job | Outcome | None:
        """Waits for a job to begin or to end; None if Tune has ended.

        Raises:
            ExecutorError: Tune has given up, or a node is unfit.
        """
        found = self.inbox.get()
        if isinstance(found, ExecutorError):
            raise found
        return found

    def fit(self, over: threading.Event) -> None:
        """Runs the jobs, until ``over`` is set."""
        try:
            with tempfile.TemporaryDirectory(prefix="lossbench-tune-", ignore_cleanup_errors=True) as folder, suppress(_Unwanted):
                _tuner(self._jobs, self._resources, self._work, folder, self.inbox.put, over).fit()
        except BaseException as error:  # noqa: BLE001 - told where it can be seen
            self.inbox.put(ExecutorError(f"Ray Tune gave up: {one_line(error)}"))
        else:
            self.inbox.put(None)


class _Unwanted(BaseException):
    """Raised inside Tune's loop to end it."""


def _tuner(
    jobs: Sequence[Job],
    resources: Resources,
    work: str,
    folder: str,
    deliver: Callable[[Job | Outcome | ExecutorError], None],
    over: threading.Event,
) -> Any:
    from ray import tune

    class Postman(tune.Callback):  # type: ignore[misc]
        """Takes the replies out of Tune's hands, which would keep them all."""

        def __init__(self) -> None:
            self.started: dict[int, float] = {}
            self.ended: set[int] = set()

        def on_step_begin(self, **_: Any) -> None:
            if over.is_set():
                raise _Unwanted

        def on_trial_start(self, *, trial: Any, **_: Any) -> None:
            self.started[trial.config["job"]] = time.monotonic()
            deliver(jobs[trial.config["job"]])

        def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
            index, reply = trial.config["job"], result.pop("reply", None)
            if "unfit" in result:
                deliver(ExecutorError(f"{UNFIT} ({result['unfit']})"))
            elif reply is not None and index not in self.ended:
                self.ended.add(index)
                deliver(unpack(jobs[index], reply))

        def on_trial_error(self, *, trial: Any, **_: Any) -> None:
            index = trial.config["job"]
            if index not in self.ended:  # else lost on its way out, after its reply
                self.ended.add(index)
                seconds = time.monotonic() - self.started.get(index, time.monotonic())
                deliver(_lost(jobs[index], Path(trial.error_file).read_text(errors="replace"), seconds))

        def __reduce__(self) -> tuple[type, tuple[()]]:  # Tune writes its callbacks down; an inbox cannot be
            return tune.Callback, ()

    terms = msgspec.msgpack.encode(Terms(work, replace(resources, jobs=1, address=None), versions()))
    trainable = tune.with_parameters(_trainable(terms, _import_path()), parcels=[pack(job) for job in jobs])
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}),
        param_space={"job": tune.grid_search(list(range(len(jobs))))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=resources.jobs),
        run_config=tune.RunConfig(
            name="study", storage_path=folder, verbose=0, callbacks=[Postman()], failure_config=tune.FailureConfig(max_failures=LOSSES)
        ),
    )


def _trainable(terms: bytes, paths: Sequence[str]) -> Callable[..., dict[str, Any]]:
    """What Ray sends to its workers. By value, since it is nested: it must be able to say that the package is not there."""

    def lossbench(config: Mapping[str, int], parcels: Sequence[bytes]) -> dict[str, Any]:
        import os
        import sys

        sys.path[:0] = [path for path in paths if path not in sys.path and os.path.exists(path)]
        try:
            from benchmark.executors.remote import answer

            return {"reply": answer(terms, parcels[config["job"]]), "done": True}
        except Exception as error:  # noqa: BLE001 - what reaches Tune as an exception is the machine's fault, and started again
            return {"unfit": f"{type(error).__name__}: {error}", "done": True}

    return lossbench


def _import_path() -> list[str]:
    """Where this program finds its modules: a worker on this machine must find the same, a checkout that is not installed included."""
    return [os.path.abspath(path) for path in sys.path]


def _lost(job: Job, reason: str, seconds: float) -> Outcome | ExecutorError:
    """What Tune gave up on: a job whose machine went again and again, or machines that cannot even load what they are sent.

    Args:
        reason: what Tune wrote down of it, the last time at the end.
    """
    if "low on memory" in reason or "OutOfMemory" in reason:
        return Outcome(
            job, fault=Fault("oom", f"killed {LOSSES + 1} times by Ray, as its machine ran out of memory", seconds, machine=True)
        )
    if "failed to import" in reason or "ModuleNotFoundError" in reason:
        return ExecutorError(f"{UNFIT} ({' '.join(reason.split())[-200:]})")
    return Outcome(job, fault=Fault("error", f"lost {LOSSES + 1} times with its machine or Ray's process there", seconds, machine=True))


# Ray itself


@contextmanager
def session(resources: Resources, over: threading.Event) -> Iterator[None]:
    """Ray, started or joined; afterwards stopped or left, and everything as it was.

    Raises:
        ExecutorError: in one line why not.
    """
    if resources.address is not None:
        reach(resources.address)
    defaults = {"RAY_USAGE_STATS_ENABLED": "0"} | ({"RAY_AUTH_TOKEN": _token()} if resources.address is None else PATIENCE)
    with ExitStack() as stack:
        stack.enter_context(_environment(defaults | dict(os.environ) | SETTINGS))
        try:
            with warnings.catch_warnings(action="ignore"):
                import ray
                import ray.tune
        except ImportError as error:
            raise ExecutorError(f"--executor ray needs the package {error.name}: pip install 'lossbench[sweep]'") from error
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if ray.is_initialized():
            raise ExecutorError("Ray is already running in this program: call ray.shutdown() first")
        if over.is_set():
            raise _Unwanted
        common = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        try:
            if resources.address is None:
                stack.enter_context(_here(ray, resources, common))
            else:
                stack.enter_context(_there(ray, resources.address, common))
        except ExecutorError:
            raise
        except Exception as error:
            raise ExecutorError(f"Ray does not start: {one_line(error)}") from error
        _check_room(ray.nodes(), resources)
        yield


@contextmanager
def _here(ray: Any, resources: Resources, common: Mapping[str, Any]) -> Iterator[None]:
    """Ray on this machine, for this program alone: no other that runs here is joined or disturbed."""
    folder = tempfile.mkdtemp(prefix="lossbench-ray-")
    if len(folder) > LONGEST_FOLDER:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="lossbench-ray-", dir="/tmp")
    try:
        ray.init(
            address="local",
            num_cpus=math.ceil((resources.jobs or 1) * resources.cpus_per_trial),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            _temp_dir=folder,
            **common,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _there(ray: Any, address: str, common: Mapping[str, Any]) -> Iterator[None]:
    """A cluster that somebody started.

    Raises:
        ExecutorError: it cannot be reached.
    """
    try:
        try:
            ray.init(address=address, **common)
        except Exception as error:
            wants = "the cluster asks for a token: export RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN on every node and here"
            reason = wants if "InvalidAuthToken" in f"{error} {error.__cause__}" else one_line(error)
            raise ExecutorError(f"--address {address}: {reason}") from error
        yield
    finally:
        ray.shutdown()


def reach(address: str) -> None:
    """Asks the port of a cluster's head whether it speaks gRPC, and hangs up: Ray by itself would try for minutes.

    Raises:
        ExecutorError: nobody listens there, or something else does.
    """
    found = _current() if address == "auto" else address
    if found is None:
        raise ExecutorError("--address auto: no Ray runs on this machine; start one with `ray start --head`, or give HOST:PORT")
    host, _, port = found.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), REACH) as connection:
            connection.sendall(GREETING)
            reply = connection.recv(9)
    except (OSError, ValueError) as error:
        raise ExecutorError(f"--address {address}: no Ray answers at {found} ({one_line(error)}); is the head running there?") from error
    if reply[3:4] != SETTINGS_FRAME and os.environ.get("RAY_USE_TLS", "0") == "0":
        raise ExecutorError(
            f"--address {address}: what listens at {found} is not the head of a Ray cluster; `ray status` there shows its port"
        )


def _current() -> str | None:
    """The address that ``auto`` stands for: ``$RAY_ADDRESS``, or what ``ray start`` left on this machine."""
    note = Path("/tmp/ray/ray_current_cluster")
    return os.environ.get("RAY_ADDRESS") or (note.read_text().strip() if note.is_file() else None)


def _check_room(nodes: Sequence[Mapping[str, Any]], resources: Resources) -> None:
    """A trial that fits on no machine would wait for ever.

    Raises:
        ExecutorError: so it is.
    """
    wanted = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    machines = [{what: float(node["Resources"].get(what, 0)) for what in wanted} for node in nodes if node["Alive"]]
    if not any(all(machine[what] >= amount for what, amount in wanted.items()) for machine in machines):
        has = "; ".join(sorted({f"{machine['CPU']:g} CPUs and {machine['GPU']:g} GPUs" for machine in machines})) or "nothing"
        raise ExecutorError(
            f"no machine has the {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs of one trial (there are some with {has}): "
            "lower --cpus-per-trial or --gpus-per-trial"
        )


@functools.cache
def _token() -> str:
    """Keeps other users of this machine out. Ray wants one, reads it once a process, and would write one into the user's home."""
    return secrets.token_hex(32)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
