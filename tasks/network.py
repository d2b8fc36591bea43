"""Whether the hub can be reached at all, in seconds: its own client would go on trying for 23 seconds to minutes."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tasks.errors import TaskError

SECONDS = 3.0
"""What a machine may take to say that it is there."""


def reachable(needed_by: str, remedy: str) -> None:
    """Raises TaskError within seconds where the hub, or the proxy on the way to it, cannot be connected to."""
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")):
        raise TaskError(f"{needed_by}: HF_HUB_OFFLINE forbids the download; {remedy}")
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxies = {} if proxy_bypass(endpoint.hostname or "") else getproxies()
    proxy = proxies.get(endpoint.scheme) or proxies.get("all")
    target = urlsplit(proxy if proxy and "//" in proxy else f"//{proxy}") if proxy else endpoint
    try:
        host, port = target.hostname or "", target.port or (80 if target.scheme == "http" else 443)
    except ValueError as error:
        raise TaskError(
            f"{needed_by}: the address {target.netloc.rpartition('@')[2]!r} of the hub or its proxy has no valid port; {remedy}"
        ) from error
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise TaskError(f"{needed_by}: {host}:{port} cannot be reached ({error.strerror or error}); {remedy}") from error
