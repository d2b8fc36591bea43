"""The command that says whether this machine can run a study."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from benchmark import doctor
from benchmark.doctor import Check, bounded
from benchmark.trying import Tried, tried
from tasks import network
from tests.e2e.conftest import Cli


@pytest.fixture(autouse=True)
def light(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch takes seconds of a core, which one test spends."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(doctor, "IMPORTS", {"numpy": "import numpy"})


@pytest.mark.slow
def test_all_of_it_is_answered_within_5_seconds_however_busy_the_machine_is(tmp_path: Path) -> None:
    begun = time.monotonic()
    found = {check.name: check for check in doctor.examine(tmp_path, offline=True)}
    assert time.monotonic() - begun < 5.0
    assert found["packages"].message.startswith("torch 2.")
    assert "device" in found
    assert "problem" not in {check.status for check in found.values()}


def test_a_folder_that_cannot_be_written_is_a_problem_with_its_fix(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    ran = cli("doctor", "--offline", "--json", "--results", file / "results")
    checks = {check["name"]: check for check in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert checks["results"]["status"] == "problem"
    assert "--results" in checks["results"]["fix"]
    assert "hub" in checks  # the extra of that name; nothing is asked of the network
    assert checks["python"]["status"] == "ok"


def test_a_key_is_never_shown(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-of-mine")
    ran = cli("doctor", "--offline", "--results", tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "a-secret-of-mine" not in ran.stdout + ran.stderr


def test_a_check_that_raises_or_hangs_is_a_finding() -> None:
    def raises() -> list[Check]:
        raise RuntimeError("two\nlines")

    def hangs() -> list[Check]:
        time.sleep(1)
        return []

    found = bounded([("x", raises), ("y", hangs)], seconds=0.2)
    assert [(check.name, check.status) for check in found] == [("x", "problem"), ("y", "note")]
    assert found[0].message == "cannot be checked: RuntimeError: two lines"


def test_programs_that_raise_die_or_hang_are_told_apart_in_the_time_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("print('found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    begun = time.monotonic()
    found = tried(
        {
            "good": "import only_here",
            "raises": "raise ImportError('libnone.so: no such file')",
            "dies": "import os; os.kill(os.getpid(), 11)",
            "leaves": "raise SystemExit(3)",
            "hangs": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)'])",
        },
        seconds=3.0,
    )
    assert time.monotonic() - begun < 5.0
    assert (found["good"].printed, found["good"].wrong) == ("found\n", "")
    assert found["raises"].wrong == "ImportError: libnone.so: no such file"
    assert found["dies"].wrong == "ended by signal 11 (Segmentation fault)"
    assert found["leaves"].wrong == "exit code 3"
    assert found["hangs"].late


def test_a_library_that_does_not_load_and_one_that_is_slow_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = {"torch": Tried("", "OSError: libcudart.so: no such file"), "numpy": Tried("", late=True), "scipy": Tried("")}
    monkeypatch.setattr(doctor, "tried", lambda programs, seconds: ran)
    found = {check.name: check for check in doctor._imports()}
    assert [(name, check.status) for name, check in found.items()] == [
        ("torch", "problem"), ("numpy", "note"), ("imports", "ok"), ("device", "note"),
    ]  # fmt: skip
    assert "libcudart" in found["torch"].message
    assert found["torch"].fix == "pip install --force-reinstall torch"
    assert found["imports"].message == "scipy"
    ran["torch"] = Tried('noise\n[2, "A GPU", "13.0"]\n')
    assert doctor._imports()[-1] == Check("device", "ok", "2 GPUs: A GPU, CUDA 13.0")


def test_a_package_without_what_it_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("lightning-utilities", "scipy") else version(name))
    wrong = {check.name: check for check in doctor._packages() if check.status == "problem"}
    assert wrong["scipy"].fix == "pip install scipy"
    assert "needs lightning-utilities" in wrong["torchmetrics"].message


def test_a_package_of_others_that_ends_the_program_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "tried", lambda programs, seconds: {"problems": Tried("", "ended by signal 11 (Segmentation fault)")})
    (line,) = [check.message for check in doctor._others()]
    assert line == "problems of other packages cannot be imported: ended by signal 11 (Segmentation fault)"


SERVED = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden",
    "500": b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
    "closes": b"",
    "hangs": None,
    "drips": b"HTTP/1.1 200 OK and so on",
    "noise": b"SSH-2.0-OpenSSH_9.9\r\n",
}
"""What a server answers; any answer says that the way is open, which is what is asked."""


@pytest.mark.parametrize(("kind", "answer"), SERVED.items())
def test_the_hub_is_asked_in_bounded_time(kind: str, answer: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                if answer is None:
                    over.wait(20)
                for piece in [bytes([each]) for each in answer or b""] if kind == "drips" else [answer or b""]:
                    if over.wait(0.5 if kind == "drips" else 0.0):
                        break
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        (check,) = doctor._hub()
        taken = time.monotonic() - begun
        over.set()
        thread.join()
    assert taken < network.SECONDS + 1.0
    if kind in ("200", "403", "500"):
        assert (check.status, check.message) == ("ok", "it answers")
    else:
        assert (check.name, check.status, check.fix) == ("hub", "note", "local copies: --data-dir DIR")
        assert check.message.startswith("127.0.0.1:")
