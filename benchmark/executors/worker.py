"""What runs inside a worker process: import once, then job after job until the driver hangs up.

Standard output and error of a worker go to a file that holds what the current job wrote. The progress display stays intact; the last line
is quoted if the worker dies, the rest is dropped. To watch a trial print, run it ``inline``.

A job with a user's files is not run in the worker but in a confined child of it (:mod:`benchmark.sandbox`): the worker has loaded nothing
foreign, and says what became of it.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection

import msgspec

from benchmark.executors import Job
from benchmark.executors.confined import Cage, confined
from benchmark.executors.work import Done, Lost, Raised, Work, attempt, one_line, resolve


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Imports are done; jobs may come."""


class Received(msgspec.Struct, frozen=True, tag=True):
    """A job has been received: from here on, whatever befalls the worker is put down to the job."""


class Broken(msgspec.Struct, frozen=True, tag=True):
    """Imports failed; the worker leaves."""

    message: str


Reply = Ready | Broken | Received | Done | Raised | Lost


def main(connection: Connection, output: Connection, work: str, cage: bytes) -> None:
    """Receives ``Job``s, sends ``Reply``s; returns when the driver closes the connection or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole foreground group; the driver decides what it means
    watched = False
    _redirect(output)
    try:
        try:
            function = _prepare(work)
        except Exception as error:  # noqa: BLE001 - whatever importing the work raises is reported to the driver
            connection.send_bytes(msgspec.msgpack.encode(Broken(one_line(error))))
            return
        connection.send_bytes(msgspec.msgpack.encode(Ready()))
        while True:
            message = connection.recv_bytes()
            connection.send_bytes(msgspec.msgpack.encode(Received()))
            _forget_output()
            job = msgspec.msgpack.decode(message, type=Job)
            if job.sources:
                reply = confined(function, job, msgspec.msgpack.decode(cage, type=Cage), _ends(connection))
            else:
                if not watched:  # not before: who starts a confined child must have no other thread
                    threading.Thread(target=_leave_with_driver, args=(connection,), daemon=True).start()
                    watched = True
                reply = attempt(function, job)
            connection.send_bytes(msgspec.msgpack.encode(reply))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver hung up


def _prepare(work: str) -> Work:
    import torch

    torch.set_num_threads(1)  # the cores are shared out by processes, and results must not depend on how many there are
    return resolve(work)


def _redirect(output: Connection) -> None:
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout = sys.stderr  # both are the same file now, and this one is flushed line by line: a crash must not lose the last line


def _forget_output() -> None:
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)


def _ends(connection: Connection) -> list[int]:
    """What closes when nobody waits for this worker any more."""
    driver = multiprocessing.parent_process()
    sentinel = driver.sentinel if driver is not None else None
    return [connection.fileno(), *([sentinel] if isinstance(sentinel, int) else [])]


def _leave_with_driver(connection: Connection) -> None:
    """A driver that was killed cannot end its workers, nor can one whose fork server was; and a busy worker does not read."""
    driver = multiprocessing.parent_process()
    if driver is not None and isinstance(driver.sentinel, int):
        ends = select.poll()
        ends.register(driver.sentinel, select.POLLIN)
        ends.register(connection, 0)  # what is always reported: that the other end is closed
        ends.poll()
        os._exit(1)
