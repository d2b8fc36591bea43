"""Runs the command line and notes every trial that begins, for ``kill_study``: ``python -m scripts.kill_witness LOG ARGUMENTS``."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Sequence

from benchmark import executors
from benchmark.records import RunRecord

LOG = "LOSSBENCH_WITNESS"
"""Environment variable with the file to write to, the way to a worker that knows nothing but its job."""


def work(job: executors.Job) -> Sequence[RunRecord]:
    """What a worker does by default, after a line for each trial: nanoseconds, process, id."""
    from benchmark.trial import execute

    lines = "".join(f"{time.time_ns()} {os.getpid()} {spec.id}\n" for spec in job.specs)
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, lines.encode())  # in one piece: no other process writes between, and a kill leaves no half of it
    finally:
        os.close(log)
    return execute(job)


if __name__ == "__main__":
    from benchmark.cli import main

    os.environ[LOG] = sys.argv[1]
    executors.create = functools.partial(executors.create, work="scripts.kill_witness:work")
    main(sys.argv[2:])
else:
    import benchmark.trial  # noqa: F401 - in the fork server, as the default work is
