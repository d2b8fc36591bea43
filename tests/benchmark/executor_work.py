"""Work for test_executors: a trial that does what its hyperparameter ``act`` says. Workers import this module by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from benchmark.executors import Job
from benchmark.records import RunRecord, TrialSpec, Value


def job(seed: int = 0, act: str = "return", *, sources: tuple[str, ...] = (), **values: Value) -> Job:
    spec = TrialSpec(
        suite="s", problem="p", problem_version=1, data="d", method="m", method_version=1, entrant="m",
        hyperparameters={"act": act, **values}, learning_rate=0.001, role="tune", seed=seed, steps=1, batch_size=1, eval_every=1,
        selection="last",
    )  # fmt: skip
    return Job((spec,), "cpu", sources)


def run(job: Job) -> list[RunRecord]:
    values = job.spec.hyperparameters
    environment: dict[str, str] = {}
    if "pids" in values:  # where to say who is running this, for tests that look for survivors
        Path(str(values["pids"]), str(os.getpid())).touch()
    match values["act"]:
        case "return":
            pass
        case "sleep":
            time.sleep(float(values["seconds"]))
        case "spin":
            end = time.monotonic() + 120.0  # for ever, as far as the tests go
            while time.monotonic() < end:
                pass
        case "ignore":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(120.0)
        case "raise":
            raise ValueError("no such\nluck")
        case "memory":
            raise MemoryError("too big")
        case "sys.exit":
            sys.exit("bye")
        case "os._exit":
            print("leaving the house")
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "print":
            print("to stdout")
            print("to stderr", file=sys.stderr)
            subprocess.run(["echo", "from a child"], check=True)
        case "dirty":
            torch.set_default_dtype(torch.float64)
            with suppress(PermissionError):  # where it is confined
                os.fork()  # both go on, and both answer
        case "dtype":
            environment["dtype"] = str(torch.get_default_dtype())
        case "threads":
            environment = {"torch": str(torch.get_num_threads()), "omp": os.environ.get("OMP_NUM_THREADS", "")}
        case "pid":
            environment = {"pid": str(os.getpid())}
        case "big":
            environment = {"ballast": "x" * 5_000_000}
        case "not a record":
            return [None]  # type: ignore[list-item]
        case "other":
            return [RunRecord(id=(other := _reseeded(job)).id, spec=other, status="ok")]
        case "forged":
            return [RunRecord(id="0" * 20, spec=job.spec, status="ok")]
        case other:
            raise AssertionError(other)
    return [RunRecord(id=spec.id, spec=spec, status="ok", environment=environment, events={"seed": spec.seed}) for spec in job.specs]


def _reseeded(job: Job) -> TrialSpec:
    import msgspec

    return msgspec.structs.replace(job.spec, seed=job.spec.seed + 1)
