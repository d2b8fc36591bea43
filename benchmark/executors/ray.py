"""Ray Tune: one machine, or a cluster of them. One Tune trial a job; the trials run in reused actors, each with a warm worker behind it.

Tune hands out the jobs and starts those again that were lost with their machine. Nothing else of it is used: what it writes goes into a
temporary folder that nobody reads, and what a trial gives comes back as bytes.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmark.executors import ExecutorError, Fault, Job, Outcome, Resources, Started
from benchmark.executors.cluster import Unwanted, session
from benchmark.executors.remote import Terms, pack, unpack, versions
from benchmark.executors.work import one_line

LOSSES = 3
"""Times that a job is started again because its machine, or Ray's process on it, was lost."""

UNFIT = "a machine of the cluster cannot run trials: install the same lossbench[sweep] on all of them"

LEAVE = 30.0
"""Seconds that Ray may take to end: it takes two or three, or as long as its start if it is still starting."""


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
        except Unwanted:
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
            with tempfile.TemporaryDirectory(prefix="lossbench-tune-", ignore_cleanup_errors=True) as folder, suppress(Unwanted):
                _tuner(self._jobs, self._resources, self._work, folder, self.inbox.put, over).fit()
        except BaseException as error:  # noqa: BLE001 - told where it can be seen
            self.inbox.put(ExecutorError(f"Ray Tune gave up: {one_line(error)}"))
        else:
            self.inbox.put(None)


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
                raise Unwanted

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
    trainable = tune.with_parameters(_trainable(terms, import_path()), parcels=[pack(job) for job in jobs])
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


def import_path() -> list[str]:
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
