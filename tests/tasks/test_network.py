"""Whether a server answers, said within seconds."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks.network import silence
from tests import ports


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ports.PROXIES:
        monkeypatch.delenv(name, raising=False)


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 302, 401, 404, 405, 503])
def test_any_answer_is_an_answer(status: int) -> None:
    with answering(status) as port:
        assert silence(f"http://127.0.0.1:{port}", "the hub") == ""


def test_a_closed_port_and_an_unknown_name_are_said_at_once() -> None:
    start = time.perf_counter()
    port = ports.closed()
    assert silence(f"http://127.0.0.1:{port}", "the hub") == f"127.0.0.1:{port} cannot be reached (Connection refused)"
    assert silence("https://hub.invalid", "the hub").startswith("hub.invalid:443 cannot be reached (")
    assert silence("https://" + "x" * 70 + ".example", "the hub")
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_takes_connections_and_says_nothing_is_given_up_in_time(scheme: str) -> None:
    with ports.silent() as port:
        start = time.perf_counter()
        assert silence(f"{scheme}://127.0.0.1:{port}", "the hub", 0.3) == f"127.0.0.1:{port} does not answer within 0.3 s"
        assert 0.2 < time.perf_counter() - start < 1


def test_looking_up_a_name_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()

    def resolve(*_: object, **__: object) -> socket.socket:
        stuck.wait(10)
        raise OSError("late")

    monkeypatch.setattr(socket, "create_connection", resolve)
    start = time.perf_counter()
    assert silence("https://hub.invalid", "the hub", 0.2) == "hub.invalid:443 does not answer within 0.2 s"
    assert time.perf_counter() - start < 1
    stuck.set()


def test_what_is_no_http_server_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-somewhere\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=speak)
        thread.start()
        assert "answers in another language than HTTP" in silence(f"http://127.0.0.1:{port}", "the hub")
        thread.join()
