"""The process that W&B lives in. Told on standard input what to write, it says on standard output how that went.

It outlives a study that is killed just long enough to close the run, and never longer than :data:`ORPHANED`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import msgspec

from benchmark.records import RunRecord, decode
from benchmark.store import Store
from benchmark.tracking import folder
from benchmark.tracking.messages import Alive, Begin, Done, End, Order, Ready, Refused, Reply, Running, Seen, Start, Trouble

ORPHANED = 30.0
"""Seconds to close the run after the study has gone."""

PARTING = 10.0
"""Seconds for wandb's exit hooks after everything is done."""

NICENESS = 10
"""A trial goes first."""

_OURS = ("DIR", "DATA_DIR", "CACHE_DIR", "ARTIFACT_DIR", "MODE", "SILENT", "QUIET", "CONSOLE", "SERVICE")
_OF_ANOTHER_RUN = ("RUN_ID", "RESUME", "NAME", "NOTES", "TAGS", "RUN_GROUP", "JOB_TYPE", "SWEEP_ID", "PROJECT", "ENTITY", "RUN_DIR")
"""Settings in WANDB_* variables that would lead this run elsewhere; log-in, server, proxies and certificates stay the user's."""


def environment(given: Mapping[str, str], temporary: str) -> dict[str, str]:
    """The variables of the service: what wandb writes goes into ``temporary``, a path short enough for sockets, until it is told where."""
    dropped = {f"WANDB_{name}" for name in (*_OURS, *_OF_ANOTHER_RUN)}
    kept = {name: value for name, value in given.items() if name not in dropped}
    return {"WANDB_ERROR_REPORTING": "false", **kept, **_places(temporary), "TMPDIR": temporary, "WANDB_SILENT": "true"}


def _places(home: str) -> dict[str, str]:
    return {
        f"WANDB_{name}_DIR": str(Path(home) / folder) for name, folder in (("DATA", "data"), ("CACHE", "cache"), ("ARTIFACT", "artifacts"))
    }


def main() -> None:
    """Serves one study. Exits with 0 unless wandb failed."""
    start = msgspec.json.decode(sys.argv[1], type=Start)
    replies = os.dup(1)

    def say(reply: Reply) -> None:
        with suppress(OSError):  # the study has gone, and nobody listens
            os.write(replies, msgspec.json.encode(reply) + b"\n")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    try:
        _print_to(os.devnull)
        _serve(start, say)
    except BaseException as error:  # noqa: BLE001 - whatever goes wrong here is a warning there
        say(Trouble(" ".join(f"{type(error).__name__}: {error}".split())))
        _leave(start.temporary)
    threading.Thread(target=_after, args=(PARTING, start.temporary), daemon=True).start()
    shutil.rmtree(start.temporary, ignore_errors=True)


def _serve(start: Start, say: Callable[[Reply], None]) -> None:
    from benchmark.tracking.writer import Refusal, Writer

    writer = Writer(start.options, Path(start.results), lambda run, url: say(Running(run, url)), lambda: say(Alive()))
    try:
        if start.options.mode == "online":
            writer.log_in()
        say(Ready())
        for order in _orders(start.temporary):
            match order:
                case Begin():
                    home = folder(Path(start.results))
                    home.mkdir(parents=True, exist_ok=True)
                    _print_to(str(home / "tracking.log"))
                    os.environ.update(_places(str(home)))
                    writer.begin(order.suite, order.config)
                case Seen():
                    writer.add(_record(order.path))
                case End():
                    writer.end(_records(order.tuning), _records(order.evaluation))
                    say(Done())
                    return
        writer.stop(1)
    except Refusal as error:
        say(Refused(str(error)))


def _print_to(path: str) -> None:
    """Where from now on whatever anyone prints goes, wandb's own process included."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def _orders(temporary: str) -> Iterator[Order]:
    """What the study says, until it has no more to say. From then on there is little time: nobody waits any longer."""
    waiting: SimpleQueue[Order | None] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            with suppress(msgspec.DecodeError):  # the half line of a study that was killed
                waiting.put(msgspec.json.decode(line, type=Order))
        waiting.put(None)
        _after(ORPHANED, temporary)

    threading.Thread(target=read, daemon=True).start()
    while (order := waiting.get()) is not None:
        yield order


def _record(path: str) -> RunRecord:
    """From its file, or from a packed one where it was packed before."""
    try:
        return decode(Path(path).read_bytes())
    except FileNotFoundError:
        record = Store(Path(path).parents[4]).shelf.get(Path(path).stem)
        if record is None:
            raise
        return record


def _records(paths: Sequence[str]) -> list[RunRecord]:
    return [_record(path) for path in paths]


def _after(seconds: float, temporary: str) -> None:
    time.sleep(seconds)
    _leave(temporary)


def _leave(temporary: str) -> None:
    """Ends this process and wandb's own at once, without exit hooks, which would wait for what does not answer."""
    shutil.rmtree(temporary, ignore_errors=True)
    if os.getpgrp() == os.getpid():  # the group is ours alone
        end(os.getpid())
    os._exit(1)


def end(service: int) -> None:
    """Kills a service, its group and its children: wandb's own process is a child, but leads a group of its own.

    That one leaves by itself when the service has gone, unless it hangs; where the system does not list children, this is left to it.
    """
    children: list[int] = []
    for listed in Path(f"/proc/{service}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            children += map(int, listed.read_text(encoding="ascii").split())
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):  # nothing of it is left
        os.killpg(service, signal.SIGKILL)


if __name__ == "__main__":
    main()
