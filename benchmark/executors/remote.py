"""What runs on a node of a cluster: one warm worker of the local pool, behind a Ray worker that only carries bytes.

A trial never runs in Ray's own process. So a hung trial is killed on the clock, a crash has its epitaph, a user's method file gets a
process to itself and output stays quiet, all by the same code as in ``local``; and whatever reaches Ray as a failure is the machine's.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec.structs import replace

from benchmark import records
from benchmark.executors import ExecutorError, Fault, Job, Outcome, Resources
from benchmark.executors.confined import file_of
from benchmark.executors.local import LocalExecutor
from benchmark.executors.work import Done, judge
from tasks.locations import default_cache


class Terms(msgspec.Struct, frozen=True):
    """What holds for all jobs of a run."""

    work: str
    resources: Resources
    """Of one trial: ``jobs`` is 1."""
    versions: dict[str, str]
    """The driver's: a node with others would make records that cannot be compared with its."""


class Parcel(msgspec.Struct, frozen=True):
    """One job and the user's files that it needs, since a node may not see the driver's folders."""

    job: Job
    files: dict[str, bytes]
    """Contents by the path in ``job.foreign``."""


class Ended(msgspec.Struct, frozen=True, tag=True):
    """What came of the job: records as the store holds them, or a fault."""

    records: list[bytes]
    fault: Fault | None


class Unfit(msgspec.Struct, frozen=True, tag=True):
    """This node cannot run any job."""

    message: str


Answer = Ended | Unfit


def versions() -> dict[str, str]:
    """What has to be the same on every node."""
    return {"lossbench": metadata.version("lossbench"), "protocol": str(records.PROTOCOL), "schema": str(records.SCHEMA)}


def pack(job: Job) -> bytes:
    """A job with the files it names."""
    files = {source: file_of(source).read_bytes() for source in job.foreign if file_of(source).is_file()}
    return msgspec.msgpack.encode(Parcel(job, files))


def answer(terms: bytes, parcel: bytes) -> bytes:
    """Runs a packed job on this node; to be called again and again in one process, whose worker stays warm."""
    return msgspec.msgpack.encode(_answer(msgspec.msgpack.decode(terms, type=Terms), parcel))


def unpack(job: Job, reply: bytes) -> Outcome | ExecutorError:
    """What a node answered, the records checked once more after their way; an error if the node cannot run anything."""
    found: Answer = msgspec.msgpack.decode(reply, type=Answer)
    if isinstance(found, Unfit):
        return ExecutorError(found.message)
    return Outcome(job, fault=found.fault) if found.fault else judge(job, Done(found.records, 0.0))


def _answer(terms: Terms, parcel: bytes) -> Answer:
    here = versions()
    for what, wanted in terms.versions.items():
        if here.get(what) != wanted:
            return Unfit(f"a worker has {what} {here.get(what)}, the driver {wanted}: install one lossbench on all of the cluster")
    sent = msgspec.msgpack.decode(parcel, type=Parcel)
    try:
        (outcome,) = _pool(terms.work, terms.resources).run([_at_home(sent)])
    except ExecutorError as error:
        return Unfit(str(error))
    return Ended([records.encode(record) for record in outcome.records], outcome.fault)


@functools.lru_cache(maxsize=1)
def _pool(work: str, resources: Resources) -> LocalExecutor:
    """The one worker of this process, started with its first job."""
    return LocalExecutor(resources=resources, work=work, parts=(os.cpu_count() or 1) / resources.cpus_per_trial)


def _at_home(sent: Parcel) -> Job:
    """The job with this node's paths in place of the driver's, which may not exist here."""
    job = sent.job
    sources, problems = (
        tuple(_kept(source, sent.files[source]) if source in sent.files else source for source in sources)
        for sources in (job.sources, job.problems)
    )
    where = job.where if Path(job.where.cache).is_dir() else dataclasses.replace(job.where, cache=default_cache())
    return replace(job, sources=sources, problems=problems, where=where)


def _kept(source: str, content: bytes) -> str:
    """The source under a path of this node: where the driver has it if it is the same file, else a copy under its own name."""
    path = file_of(source)
    with suppress(OSError):
        if path.read_bytes() == content:
            return source
    folder = Path(_copies(), hashlib.blake2b(content, digest_size=8).hexdigest())
    folder.mkdir(exist_ok=True)
    copy = folder / path.name
    copy.write_bytes(content)
    return str(copy) + source.removeprefix(str(path))


@functools.cache
def _copies() -> str:
    folder = tempfile.mkdtemp(prefix="lossbench-sources-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
