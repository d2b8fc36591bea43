"""Ray itself: started on this machine for this program alone, or a cluster that somebody started, joined; and left as it was found."""

from __future__ import annotations

import functools
import logging
import math
import os
import secrets
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmark.executors import ExecutorError, Resources
from benchmark.executors.work import one_line

REACH = 3.0
"""Seconds to wait for a cluster's port to open a connection, before Ray is left to try, which it does for minutes."""

SETTINGS_FRAME = b"\x04"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS_FRAME + b"\0\0\0\0\0"
"""How every HTTP/2 connection begins (RFC 9113, 3.4); a server of it answers with a frame of the same type, in its fourth byte."""

PATIENCE = {"RAY_gcs_server_port_wait_time_s": "4"}
"""Times that Ray asks a head that listens but does not let it in, unless the user says otherwise; each takes about a second."""

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


class Unwanted(BaseException):
    """Raised to end a start or a sweep that nobody waits for any more."""


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
            raise Unwanted
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
