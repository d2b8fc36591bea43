"""Where a study runs: what the flags about machines mean, and which of them go together."""

from __future__ import annotations

from typing import Protocol

from benchmark import executors
from benchmark.errors import UsageError
from benchmark.executors import Resources
from benchmark.executors.cluster import reach


class Wishes(Protocol):
    """The flags about machines; None or "" where one was not given."""

    @property
    def executor(self) -> str: ...
    @property
    def search(self) -> str: ...
    @property
    def jobs(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def address(self) -> str | None: ...
    @property
    def cpus_per_trial(self) -> float | None: ...
    @property
    def gpus_per_trial(self) -> float | None: ...


def resources(wishes: Wishes) -> Resources:
    """What the executor may use.

    Raises:
        UsageError: a flag that the executor does not know, or a value that makes no sense.
        ExecutorError: nobody listens at the address of the cluster.
    """
    only = {"--address": wishes.address, "--cpus-per-trial": wishes.cpus_per_trial, "--gpus-per-trial": wishes.gpus_per_trial}
    for flag, value in only.items():
        if value is not None and wishes.executor != "ray":
            raise UsageError(f"{flag} {value} is for --executor ray only, not {wishes.executor}: add --executor ray, or leave it out")
    for flag, value in only.items():
        if value is not None and wishes.search == "optuna":
            raise UsageError(f"{flag} {value} with --search optuna: an adaptive search runs on this machine; leave one of the two out")
    if wishes.address is not None:
        _check_address(wishes.address)
        reach(wishes.address)
    if (wishes.gpus_per_trial or 0) > 1 and wishes.gpus_per_trial != int(wishes.gpus_per_trial or 0):
        raise UsageError(f"--gpus-per-trial is {wishes.gpus_per_trial:g}; expected a part of one GPU, such as 0.25, or whole ones")
    return Resources(
        jobs=wishes.jobs or (executors.cores() if wishes.address is None else None),
        timeout=wishes.timeout,
        cpus_per_trial=wishes.cpus_per_trial or 1.0,
        gpus_per_trial=wishes.gpus_per_trial or 0.0,
        address=wishes.address,
    )


def device(wishes: Wishes) -> str:
    """Where trials train: with Ray on the GPUs that it hands out and no others, so that a machine's GPUs are shared out once.

    Raises:
        UsageError: there is no such device, or Ray was not asked for one.
    """
    if wishes.executor == "ray":
        if wishes.gpus_per_trial:
            if wishes.device == "cpu":
                raise UsageError(f"--device cpu, but --gpus-per-trial {wishes.gpus_per_trial:g}: leave one of the two out")
            return "cuda"
        if wishes.device == "cuda":
            raise UsageError("--device cuda with --executor ray: say how much of a GPU a trial gets, as in --gpus-per-trial 0.25")
        return "cpu"
    if wishes.device == "cuda":
        from benchmark.machine import resolve_device

        resolve_device(wishes.device)
    return wishes.device


def _check_address(address: str) -> None:
    host, colon, port = address.rpartition(":")
    fits = host and colon and "/" not in host and port.isascii() and port.isdecimal() and 0 < int(port) < 2**16
    if address != "auto" and not fits:
        raise UsageError(f"--address is {address!r}; expected auto, or HOST:PORT of the head as in 10.0.0.1:6379")
