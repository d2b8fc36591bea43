"""Whether a server can be reached at all, in seconds: clients of the hub would go on trying for 23 seconds to minutes."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from tasks.errors import TaskError

SECONDS = 2.0
"""What a machine may take to say that it is there: the command as a whole is to say so within 5 s."""


def reachable(needed_by: str, remedy: str) -> None:
    """Raises TaskError within seconds where the hub, or the proxy on the way to it, does not answer."""
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")):
        raise TaskError(f"{needed_by}: HF_HUB_OFFLINE forbids the download; {remedy}")
    reason = silence(os.environ.get("HF_ENDPOINT") or "https://huggingface.co", "the hub")
    if reason:
        raise TaskError(f"{needed_by}: {reason}; {remedy}")


def silence(url: str, what: str, seconds: float = SECONDS) -> str:
    """Why nothing answers at an address, or at the proxy on the way to it, in one clause; empty where something does.

    Any answer will do, be it a refusal: this is about the way to a server, and not about what it says. Names that cannot be resolved,
    ports that are closed, and servers that take a connection and say nothing are all found out within ``seconds``.
    """
    asked = urlsplit(url)
    proxies = {} if proxy_bypass(asked.hostname or "") else getproxies()
    proxy = proxies.get(asked.scheme) or proxies.get("all")
    target = urlsplit(proxy if proxy and "//" in proxy else f"//{proxy}") if proxy else asked
    try:
        host, port = target.hostname or "", target.port or (80 if target.scheme == "http" else 443)
    except ValueError:
        return f"the address {target.netloc.rpartition('@')[2]!r} of {what} or its proxy has no valid port"
    place = f"{host}:{port}"
    mute = f"{place} does not answer within {seconds:g} s"

    def look() -> str:
        try:
            with socket.create_connection((host, port), timeout=seconds) as connection:
                if not proxy:
                    _ask(connection, asked)
        except TimeoutError:
            return mute
        except (OSError, UnicodeError) as error:  # the second of a name that no server can have
            return f"{place} cannot be reached ({getattr(error, 'strerror', None) or error})"
        except http.client.HTTPException as error:
            return f"{place} answers in another language than HTTP ({type(error).__name__})"
        return ""

    return _within(seconds, look, mute)


def _ask(connection: socket.socket, asked: SplitResult) -> None:
    """Waits for any answer of a server: that it can do TLS, or that it speaks HTTP. Nothing is sent that others should not see.

    Raises:
        OSError, HTTPException: there is none, or none of that kind.
    """
    if asked.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whom to trust is for the client to decide
        context.wrap_socket(connection, server_hostname=asked.hostname).close()
        return
    request = f"HEAD {asked.path or '/'} HTTP/1.1\r\nHost: {asked.netloc.rpartition('@')[2]}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("ascii", "replace"))
    answer = http.client.HTTPResponse(connection, method="HEAD")
    answer.begin()
    answer.close()


def _within(seconds: float, look: Callable[[], str], late: str) -> str:
    """What ``look`` finds in time, else ``late``: looking up a name has no time limit of its own, and several short limits add up."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(look()), name="lossbench-network", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else late
