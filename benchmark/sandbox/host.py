"""The side of :func:`benchmark.sandbox.run` that waits: a guard from the fork server, which has torch imported, and what it tells."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import msgspec

from benchmark.executors import ExecutorError
from benchmark.executors.process import LEAVE_LIMIT, new_process, start
from benchmark.executors.work import one_line
from benchmark.sandbox import Ended, Limits, Work
from benchmark.sandbox.guard import guarded

OUTPUT = 1 << 19
"""Bytes of output that are kept from the beginning, and as many from the end."""


class Request(msgspec.Struct, frozen=True):
    """What a guard is told."""

    work: str
    argument: bytes
    limits: Limits
    readable: tuple[str, ...]
    writable: tuple[str, ...]


class Said(msgspec.Struct, frozen=True, tag=True):
    """A message of the confined process, passed on."""

    message: bytes


class Over(msgspec.Struct, frozen=True, tag=True):
    """How it ended."""

    ended: Ended


class Unfit(msgspec.Struct, frozen=True, tag=True):
    """The work cannot be imported."""

    message: str


def run(
    work: str,
    argument: bytes,
    limits: Limits,
    on_message: Callable[[bytes], None],
    readable: Sequence[Path],
    writable: Sequence[Path],
) -> Ended:
    """As :func:`benchmark.sandbox.run` says."""
    request = Request(work, argument, limits, tuple(map(_absolute, readable)), tuple(map(_absolute, writable)))
    began = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        ours, theirs = Pipe()
        output = Connection(os.dup(printed.fileno()), readable=False)
        process = new_process(main, (theirs, output, msgspec.msgpack.encode(request)))
        try:
            start(process, work)
            theirs.close()
            found = _listen(ours, on_message)
        finally:
            for connection in (ours, theirs, output):
                connection.close()  # at which a guard ends what it guards, and leaves
            if process.pid is not None:
                process.join(LEAVE_LIMIT)
                process.kill()
                process.join()
                process.close()
        text = _printed(printed.fileno())
    if found is None:
        return Ended("killed", "its guard died; out of memory?", time.monotonic() - began, text)
    return replace(found, output=text)


def _absolute(path: Path) -> str:
    return str(path.absolute())


def _listen(connection: Connection, on_message: Callable[[bytes], None]) -> Ended | None:
    """Passes on what is said; None if the guard is no more."""
    while True:
        try:
            reply = msgspec.msgpack.decode(connection.recv_bytes(), type=Said | Over | Unfit)
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(reply, Over):
            return reply.ended
        if isinstance(reply, Unfit):
            raise ExecutorError(f"a sandbox could not start: {reply.message}")
        on_message(reply.message)


def _printed(file: int) -> str:
    size = os.fstat(file).st_size
    if size <= 2 * OUTPUT:
        return os.pread(file, size, 0).decode(errors="replace")
    ends = os.pread(file, OUTPUT, 0), os.pread(file, OUTPUT, size - OUTPUT)
    return "\n[...]\n".join(each.decode(errors="replace") for each in ends)


def main(connection: Connection, output: Connection, request: bytes) -> None:
    """What the guard does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits hears it, and hangs up
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout = sys.stderr
    asked = msgspec.msgpack.decode(request, type=Request)
    with suppress(BrokenPipeError, ConnectionResetError):
        try:
            function = _resolve(asked.work)
        except Exception as error:  # noqa: BLE001 - whatever importing it raises is told
            connection.send_bytes(msgspec.msgpack.encode(Unfit(one_line(error))))
            return
        ended = guarded(
            lambda send: function(asked.argument, send),
            asked.limits,
            lambda message: connection.send_bytes(msgspec.msgpack.encode(Said(message))),
            readable=[*map(Path, asked.readable)],
            writable=[*map(Path, asked.writable)],
            ends=[connection.fileno()],
        )
        connection.send_bytes(msgspec.msgpack.encode(Over(ended)))


def _resolve(work: str) -> Work:
    module, _, attribute = work.partition(":")
    return cast(Work, getattr(importlib.import_module(module), attribute))
