"""A job with a user's files: in a confined child of a worker that has run nothing else, so that the study and its store stay as they are.

What the child may take is in :class:`Cage`. A method that prints the environment finds nothing secret in it; one that writes outside its
scratch folder, opens a socket, allocates or forks without end is one failed record. A problem of the user's is confined with it,
and may read what lies beside its file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmark.executors import Job
from benchmark.executors.work import Done, Lost, Raised, Work, attempt
from benchmark.sandbox import Limits, Send, places
from benchmark.sandbox.guard import guarded
from methods.foreign import text

PROGRAMS = 32
"""At once, where something is compiled: by the vectorized engine, or for a GPU."""
FILE_SIZE = 1 << 30
"""Bytes of any file."""


class Cage(msgspec.Struct, frozen=True):
    """What the jobs of a pool may take that load a user's files."""

    scratch: str
    """The pool's folder: each job has a folder in it while it runs, and those of one text share a cache of compiled steps."""
    memory: int | None
    """Bytes of one job; None for no limit."""


def confined(function: Work, job: Job, cage: Cage, ends: Sequence[int]) -> Done | Raised | Lost:
    """Runs the job in a child and returns what it returned.

    Args:
        ends: files whose other end closes when nobody waits any more: the child is killed then.
    """
    replies: list[bytes] = []
    compiles = job.spec.engine == "vectorized" or job.device != "cpu"
    limits = Limits(memory=cage.memory, processes=PROGRAMS if compiles else 0, file_size=FILE_SIZE, local_sockets=job.device != "cpu")
    of_problems = [*map(place_of, job.problems)]
    data = [path for place in of_problems for path in (places.beside(place) if place.is_file() else [place])]
    readable = [Path(job.where.cache), *([Path(job.where.data)] if job.where.data else []), *map(place_of, job.sources), *data]
    listed = [place.parent for place in of_problems if place.is_file()]
    compiled = _cache(job, cage) if job.spec.engine == "vectorized" else None

    def inside(send: Send) -> None:
        if compiled is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(compiled)
        send(msgspec.msgpack.encode(attempt(function, job)))

    writable = [compiled] if compiled is not None else []
    ended = guarded(inside, limits, replies.append, readable=readable, writable=writable, listed=listed, ends=ends, folder=cage.scratch)
    if ended.status == "memory":
        return Lost("oom", ended.message, ended.seconds)
    if ended.status == "timeout":
        return Lost("timeout", ended.message, ended.seconds)
    if ended.status != "ok":
        return Lost("error", _said(ended.message, ended.trespasses), ended.seconds, machine=ended.message.startswith("died: signal"))
    try:
        (reply,) = replies
        return msgspec.msgpack.decode(reply, type=Done | Raised)
    except (ValueError, msgspec.DecodeError) as error:
        return Lost("error", f"the trial returned no record: {error}", ended.seconds)


def _said(message: str, trespasses: Sequence[str]) -> str:
    return f"worker {message}" + (f"; it {trespasses[0]}" if trespasses else "")


def file_of(source: str) -> Path:
    """Of ``FILE.py`` or ``FILE.py:OBJECT``."""
    return Path(source.rpartition(":")[0] if ".py:" in source else source)


def place_of(source: str) -> Path:
    """What of a source must be readable: a file, or the package or module of ``MODULE:OBJECT``."""
    module = source.partition(":")[0].partition(".")[0]
    if source.endswith(".py") or ".py:" in source or (path := text.file_of(module)) is None:
        return file_of(source)
    return path.parent if path.name == "__init__.py" else path


def _cache(job: Job, cage: Cage) -> Path:
    """Of compiled steps: never that of other methods, whose trials would load what this one has put there."""
    name = hashlib.blake2b(repr(job.sources).encode(), digest_size=8).hexdigest()
    folder = Path(cage.scratch, f"torch-{name}")
    folder.mkdir(exist_ok=True)
    return folder
