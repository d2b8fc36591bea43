"""Serves a folder to this machine alone, until it is interrupted."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmark.errors import UsageError

HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """Says nothing about what is asked for."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a terminal full of requests hides the address."""


def serve(folder: Path, port: int, ready: Callable[[str], None]) -> None:
    """Blocks until Ctrl-C; ``ready`` is told the address once somebody listens there. Port 0 takes any that is free.

    Raises:
        UsageError: the port is taken, or not for us.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UsageError(f"--port {port} {why}; choose another one, or 0 for any that is free") from error
    with server:
        server.daemon_threads = True
        ready(f"http://{HOST}:{server.server_address[1]}/")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return
