"""The sandbox: what foreign code tries, how it ends, and that nothing outside has changed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmark.executors import ExecutorError
from benchmark.sandbox import Ended, Limits, channel, kernel, landlock, run, seccomp

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the child gets this path too

LINUX = pytest.mark.skipif(not (landlock.version() and seccomp.number("socket") >= 0), reason="no Landlock, or another architecture")


def ended(
    code: str, *, seconds: float = 30.0, memory: int = 1 << 30, processes: int = 0, file_size: int = 1 << 20, disk: int = 1 << 32
) -> tuple[Ended, list[bytes]]:
    heard: list[bytes] = []
    return run("sandbox_work:work", code.encode(), Limits(seconds, memory, processes, file_size, disk), heard.append), heard


def test_what_is_sent_arrives_in_order() -> None:
    found, heard = ended("for i in range(3): send(bytes([i]) * 100000)")
    assert (found.status, found.message, found.trespasses) == ("ok", "", ())
    assert heard == [bytes([i]) * 100000 for i in range(3)]


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("raise ValueError('no')", "error", "ValueError: no (<string>:1)"),
        ("import sys; sys.exit()", "error", "SystemExit"),
        ("import os; os._exit(0)", "killed", "left in the middle, with exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", "killed", "died: signal 11 (SIGSEGV)"),
        ("x = []\nwhile True: x.append(bytearray(1 << 26))", "memory", "MemoryError"),
        ("import torch\nx = []\nwhile True: x.append(torch.ones(1 << 24))", "memory", "allocate memory"),
        ("import mmap\nx = mmap.mmap(-1, 3 << 29)\nwhile True: x.write(bytes(1 << 20))", "memory", "more than the 1.07 GB allowed"),
        ("import os\nfor f in range(3, 30):\n  try: os.write(f, bytes(99))\n  except OSError: pass", "killed", "not signed"),
        ("import os\nfor f in range(3, 30):\n  try: os.write(f, b'x' * 99)\n  except OSError: pass", "killed", "no message"),
        ("while True: print('x' * 1000)", "error", "File too large"),
        ("import os, time\nos.closerange(0, 99)\ntime.sleep(99)", "killed", "closed the pipe that it reports through"),
    ],
)
def test_how_it_ends_is_said(code: str, status: str, message: str) -> None:
    found, heard = ended(code)
    assert found.status == status
    assert message in found.message
    assert len(found.message.splitlines()) == 1
    assert heard == []


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(99)", "while True: pass", "import signal, time\nsignal.alarm(0)\ntime.sleep(99)"]
)
def test_what_hangs_is_killed(code: str) -> None:
    found, _ = ended(code, seconds=0.5)
    assert found.status == "timeout"
    assert found.seconds < 5.0


@LINUX
@pytest.mark.parametrize(
    ("code", "trespass"),
    [
        ("open({victim!r}, 'a')", "opened {victim} for writing"),
        ("open({victim!r}).read()", "read {victim}"),
        ("import os; os.remove({victim!r})", "changed {victim} (os.remove)"),
        ("import os; os.rename({victim!r}, {victim!r} + '2')", "changed {victim} (os.rename)"),
        ("import os; os.truncate({victim!r}, 0)", "changed {victim} (os.truncate)"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "asked for the address of '127.0.0.1'"),
        ("import socket; socket.socket(socket.AF_UNIX)", "connected to nothing yet, but opened a socket (socket.socket)"),
        ("import subprocess; subprocess.run(['true'])", "started a process (subprocess.Popen, 'true', ['true'])"),
        ("import os; os.fork()", "started a process (os.fork)"),
        ("import os; os.execv('/bin/true', ['true'])", "started a process (os.exec, '/bin/true', ['true'])"),
        ("import os; os.kill(os.getppid(), 9)", "signalled process "),
    ],
)
def test_what_is_not_allowed_fails_and_is_named(code: str, trespass: str, tmp_path: Path) -> None:
    victim = tmp_path / "record.json"
    victim.write_text("kept", encoding="utf-8")
    found, _ = ended(code.format(victim=str(victim)))
    assert found.status == "error"
    assert "PermissionError" in found.message
    assert found.trespasses[0].startswith(trespass.format(victim=victim))
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert victim.read_text(encoding="utf-8") == "kept"
    assert found.notes == () or landlock.version() < 6


@LINUX
def test_past_python_nothing_more_can_be_done(tmp_path: Path) -> None:
    """The same by system calls, of which Python sees nothing."""
    path = str(tmp_path / "new").encode()
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
tried = [libc.open({path!r}, 0o101, 0o600), libc.socket(2, 1, 0), libc.fork(), libc.unshare(0x10000000)]
send(repr((tried, ctypes.get_errno())).encode())
"""
    found, heard = ended(code)
    assert found.status == "ok"
    assert heard == [b"([-1, -1, -1, -1], 1)"]
    assert list(tmp_path.iterdir()) == []


@LINUX
def test_what_landlock_lets_pass_changes_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "record.json"
    victim.write_text("kept", encoding="utf-8")
    os.utime(victim, (1, 1))
    before, nice = victim.stat(), os.getpriority(os.PRIO_PROCESS, 0)
    code = f"""
import os, shutil
for path in ({str(victim)!r}, os.open({os.__file__!r}, os.O_RDONLY)):
    os.chmod(path, 0o777)
    os.chown(path, 1, 1)
    os.utime(path)
    os.setxattr(path, "user.tag", b"mine")
os.setpriority(os.PRIO_PROCESS, {os.getpid()}, 9)
open("one", "w").write("text")
shutil.copy2("one", "two")
send(open("two").read().encode())
"""
    module = os.stat(os.__file__)
    found, heard = ended(code)
    assert (found.status, heard) == ("ok", [b"text"]), found.message
    assert f"changed {victim} (os.chmod)" in found.trespasses
    assert (victim.stat(), os.listxattr(victim), os.stat(os.__file__)) == (before, [], module)
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice


@LINUX
def test_what_would_outlive_it_or_be_counted_by_nobody_cannot_be_had() -> None:
    """Memory of System V and without a mapping; being left alive without its guard, or unseen by it; calls newer than the list."""
    code = """
import ctypes
libc = ctypes.CDLL(None)
tried = [libc.shmget(0, 4096, 0o1600), libc.msgget(0, 0o1600), libc.semget(0, 1, 0o1600), libc.memfd_create(b"x", 0)]
tried += [libc.prctl(1, 0, 0, 0, 0), libc.prctl(4, 0, 0, 0, 0), libc.syscall(452, -100, b".", 0, 0)]
send(repr(tried).encode())
"""
    assert ended(code)[1] == [b"[-1, -1, -1, -1, -1, -1, -1]"]


@pytest.mark.parametrize("names", ["str(i)", "'same'"])
def test_all_its_files_together_are_limited(names: str) -> None:
    """Those without a name too."""
    code = f"""
import os, time
kept = []
for i in range(64):
    kept.append(open({names}, "wb"))
    if {names} == "same": os.remove("same")
    kept[-1].write(bytes(1 << 19))
    kept[-1].flush()
time.sleep(20)
"""
    found, _ = ended(code, disk=1 << 24)
    assert found.status == "killed"
    assert "wrote files of 0.03 GB, more than the 0.02 GB allowed" in found.message


@LINUX
def test_root_with_few_rights_gives_up_those_and_asks_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that has dropped them all: what is not there cannot be kept."""
    asked: list[bytes] = []
    monkeypatch.setattr(kernel, "prctl", lambda *arguments: None)
    monkeypatch.setattr(kernel, "call", lambda number, header, data: asked.append(data.raw))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(kernel, "permitted", lambda: 1 << kernel.CAP_DAC_OVERRIDE | 1 << 21)
    kernel.drop_privileges(126)
    monkeypatch.setattr(kernel, "permitted", lambda: 0)
    kernel.drop_privileges(126)
    kept = (1 << kernel.CAP_DAC_OVERRIDE).to_bytes(4, sys.byteorder)
    assert asked == [kept * 2 + bytes(16), bytes(24)]


def test_there_is_no_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    code = "import os\nprint(dict(os.environ))\nprint(open('/proc/self/environ', 'rb').read() if os.path.exists('/proc') else '')"
    found, _ = ended(code)
    assert found.status == "ok"
    assert "OMP_NUM_THREADS" in found.output
    assert "canary" not in found.output


def test_the_scratch_folder_can_be_written_and_is_gone_afterwards() -> None:
    code = "import os, tempfile\nopen('a', 'w').write('b')\nwith tempfile.NamedTemporaryFile() as f: send(f.name.encode())\n"
    code += "send(os.getcwd().encode())"
    found, (name, folder) = ended(code)
    assert found.status == "ok"
    assert name.startswith(folder)
    assert not Path(folder.decode()).exists()


@LINUX
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("while True: subprocess.Popen(['sleep', '99'])", "killed"),
        ("for _ in range(2): subprocess.Popen(['sleep', '99'], start_new_session=True)", "ok"),
    ],
)
def test_programs_that_may_be_started_are_counted_and_die_with_it(code: str, status: str) -> None:
    found, heard = ended("import os, subprocess\nsend(str(os.getpid()).encode())\n" + code, processes=4, seconds=20.0)
    assert found.status == status
    assert ("more than the 4 allowed" in found.message) == (status == "killed")
    assert not any(group_of(int(pid)) == int(heard[0]) for pid in os.listdir("/proc") if pid.isdigit())


@LINUX
@pytest.mark.parametrize("processes", [0, 4])
@pytest.mark.parametrize("code", ["os.fork()", "ctypes.CDLL(None).fork()", f"ctypes.CDLL(None).syscall({seccomp.number('clone')}, 17, 0)"])
def test_nothing_can_copy_itself(code: str, processes: int) -> None:
    """Where it could, a few hundred would be there before anybody has counted."""
    program = f"import ctypes, os\nme = os.getpid()\ntry:\n  made = {code}\nexcept PermissionError:\n  made = -1\n"
    program += "if os.getpid() != me: os._exit(0)\nsend(str(made).encode())"
    found, heard = ended(program, processes=processes)
    assert (found.status, heard) == ("ok", [b"-1"])


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def test_what_the_reader_of_messages_raises_ends_it() -> None:
    def refuse(message: bytes) -> None:
        raise ZeroDivisionError

    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        run("sandbox_work:work", b"send(b'x')\nimport time; time.sleep(99)", Limits(), refuse)
    assert time.monotonic() - start < 10.0


def test_work_that_cannot_be_imported_is_said() -> None:
    with pytest.raises(ExecutorError, match="no_such_module"):
        run("no_such_module:work", b"", Limits())


def test_memory_that_a_library_frees_can_be_used_again() -> None:
    """The limit is on what is held, not on what was ever taken."""
    assert ended("import torch\nfor _ in range(20): torch.ones(1 << 25).sum()")[0].status == "ok"


def test_messages_are_in_order_signed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    key = channel.key()
    send = channel.sender(theirs, key)
    send(channel.MESSAGE, b"one")
    send(channel.MESSAGE, b"two")
    data = os.read(ours, 1000)
    assert channel.Receiver(key).feed(data) == [(channel.MESSAGE, b"one"), (channel.MESSAGE, b"two")]
    half = len(data) // 2
    again = channel.Receiver(key)
    assert again.feed(data[: half - 1]) == []
    assert again.feed(data[half - 1 :]) == [(channel.MESSAGE, b"one"), (channel.MESSAGE, b"two")]
    for wrong in (data[half:] + data[:half], data.replace(b"two", b"six"), data[:half] * 2):
        with pytest.raises(channel.Garbled):
            channel.Receiver(key).feed(wrong)
    monkeypatch.setattr(channel, "MOST", 10)
    with pytest.raises(channel.Garbled, match="messages"):
        channel.Receiver(key).feed(data)
    os.close(ours)
    os.close(theirs)


def test_a_system_without_landlock_says_so_and_limits_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, of which nothing may be given up: what would do so is replaced."""
    from benchmark.sandbox import confinement

    def missing(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(confinement.environment, "replace", lambda scratch: None)
    monkeypatch.setattr(confinement, "set_limits", lambda limits: None)
    monkeypatch.setattr(kernel, "drop_privileges", lambda number: None)
    monkeypatch.setattr(kernel, "prctl", lambda *arguments: None)
    monkeypatch.setattr(landlock, "restrict", missing)
    monkeypatch.setattr(seccomp, "restrict", missing)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    notes = confinement.confine([Path("/nowhere")], Limits())
    assert notes[-2:] == [
        "files are not protected: Function not implemented",
        "network and programs are not forbidden: Function not implemented",
    ]
    monkeypatch.setattr(kernel, "LINUX", False)
    (note,) = confinement.confine([Path("/nowhere")], Limits())
    assert "neither files nor the network" in note
