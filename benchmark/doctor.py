"""Whether this machine can run a study: one line a check, with what mends it. Nothing here trains, and no check raises or hangs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

import tasks
from benchmark.executors import cores
from methods import registry

Status = Literal["ok", "note", "problem"]
SECONDS = 20.0
"""That a check may take: importing torch on a busy machine does."""
LEAST = 200 << 20
"""Bytes that a study should find free."""
PACKAGES = ("torch", "numpy", "scipy", "msgspec", "typer", "rich", "torchmetrics")
EXTRAS = {
    "suites": (("sklearn", "skimage", "moocore"), "the suites mixed and toy"),
    "hub": (("datasets", "pyarrow", "PIL"), "problems whose data is downloaded"),
    "sweep": (("ray", "optuna"), "--executor ray and --search optuna"),
    "track": (("wandb",), "--wandb"),
    "pack": (("pyarrow",), "results pack"),
    "plot": (("matplotlib",), "plot"),
    "site": (("jinja2", "plotly"), "site"),
    "bench": (("torchjd", "quadprog", "qpsolvers", "cvxpy", "ecos"), "torchjd:NAME as a method"),
}
"""Extra -> what it installs, by importable name, and what that is for."""


class Check(msgspec.Struct, frozen=True):
    """What one look found."""

    name: str
    status: Status
    message: str
    fix: str = ""


def examine(results: Path, *, offline: bool = False) -> list[Check]:
    """All checks, each bounded in time; without the network where ``offline``."""
    looks: list[tuple[str, Callable[[], list[Check]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("lock", _lock),
        ("device", _device),
        (
            "processor",
            lambda: [Check("processor", "ok", f"{cores()} cores; OMP_NUM_THREADS is {os.environ.get('OMP_NUM_THREADS', 'not set')}")],
        ),
        ("memory", _memory),
        ("disk", lambda: cheap(results)),
        ("extras", _extras),
        ("ray", _ray),
        ("wandb", _wandb),
        ("other packages", _others),
        ("records", lambda: _records(results)),
    ]
    if not offline:
        looks.append(("hub", _hub))
    return [check for name, look in looks for check in bounded(name, look)]


def cheap(results: Path) -> list[Check]:
    """What takes milliseconds, and no network or torch: whether the folders that a study writes to take it."""
    places = {"results": results, "cache": Path(tasks.Locations().cache), "temporary": Path(tempfile.gettempdir())}
    return [_folder(name, place.absolute()) for name, place in places.items()]


def bounded(name: str, look: Callable[[], list[Check]], seconds: float = SECONDS) -> list[Check]:
    """What a look finds; where it raises, or takes longer than it may, that is the finding."""
    found: list[list[Check]] = []

    def run() -> None:
        try:
            found.append(look())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a broken installation raises is what is looked for
            said = " ".join(f"{type(error).__name__}: {error}".split())
            found.append([Check(name, "problem", f"cannot be checked: {said}", "mend what it names")])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else [Check(name, "note", f"no answer within {seconds:g} s", "try again when the machine is idle")]


def _python() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    return [Check("python", "ok" if fits else "problem", version, "" if fits else "install Python 3.11 or newer")]


def _packages() -> list[Check]:
    found, broken = [], []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
            found.append(f"{name} {metadata.version(name)}")
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything
            said = " ".join(f"{type(error).__name__}: {error}".split())
            broken.append(Check(name, "problem", f"cannot be imported: {said}", f"pip install --force-reinstall {name}"))
    return [*broken, Check("packages", "ok", ", ".join(found))]


def _lock() -> list[Check]:
    """Installed versions against the lock of the checkout; where there is none, against the bounds in the metadata."""
    lock = Path(__file__).parents[1] / "constraints.txt"
    if lock.is_file():
        pins = re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(encoding="utf-8"), re.M)
        others = [f"{name} {here} (lock: {pin})" for name, pin in pins if (here := _version(name)) and here.partition("+")[0] != pin]
        fix = "pip install -c constraints.txt -e ."
        return [Check("lock", "note", f"not the tested versions: {', '.join(others)}", fix) if others else Check("lock", "ok", "as tested")]
    wrong = []
    for line in metadata.requires("lossbench") or []:
        bound = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line.replace(" ", ""))
        if bound and (here := _version(bound[1])) is not None and _numbers(here) < _numbers(bound[2]):
            wrong.append(Check("versions", "problem", f"{bound[1]} is {here}, expected at least {bound[2]}", f"pip install -U {bound[1]}"))
    return wrong or [Check("versions", "ok", "within the bounds of lossbench")]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _device() -> list[Check]:
    import torch

    if torch.cuda.is_available():
        return [Check("device", "ok", f"{torch.cuda.device_count()} GPUs: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")]
    return [Check("device", "note", f"no GPU that torch {torch.__version__} can use: trials train on the CPU")]


def _memory() -> list[Check]:
    from benchmark.sandbox.memory import LEAST as least
    from benchmark.sandbox.memory import total

    each = total() / cores()
    message = f"{total() / 1e9:.1f} GB, {each / 1e9:.1f} GB for each of {cores()} trials at once"
    return [Check("memory", "ok", message) if each >= least else Check("memory", "note", message, "run fewer at once: --jobs N")]


def _folder(name: str, folder: Path) -> Check:
    """The folder, or the nearest that exists above it: whether a file can be made there, and how much room there is."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    fix = {"results": "choose another --results folder", "cache": "set LOSSBENCH_CACHE", "temporary": "set TMPDIR"}[name]
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, "problem", f"{folder} cannot be written: {error.strerror}", f"mend its permissions, or {fix}")
    message = f"{folder}: {free / 1e9:.1f} GB free"
    return Check(name, "ok", message) if free >= LEAST else Check(name, "problem", message, f"make room, or {fix}")


def _extras() -> list[Check]:
    checks = []
    for extra, (packages, what) in EXTRAS.items():
        missing = []
        for package in packages:
            try:
                tasks.require([package], extra)
            except tasks.MissingDependency:
                missing.append(package)
        if missing:
            checks.append(Check(extra, "note", f"{what}: no {', '.join(missing)}", f"pip install 'lossbench[{extra}]'"))
        else:
            checks.append(Check(extra, "ok", what))
    return checks


def _ray() -> list[Check]:
    """Its version, without importing it: that takes seconds and starts nothing that could be seen."""
    version = _version("ray")
    return [Check("ray", "ok", version)] if version else []


def _wandb() -> list[Check]:
    """Whether a key is there; it is neither shown nor sent."""
    if _version("wandb") is None:
        return []
    kept = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    known = bool(os.environ.get("WANDB_API_KEY")) or (kept.is_file() and "wandb" in kept.read_text(encoding="utf-8", errors="replace"))
    return [Check("wandb", "ok", "a key is there") if known else Check("wandb", "note", "not logged in", "wandb login, or --wandb offline")]


def _others() -> list[Check]:
    wrong = [*registry.left_out(), *tasks.problems_left_out()]
    return [Check("other packages", "note", line, "mend or remove that package") for line in wrong]


def _records(results: Path) -> list[Check]:
    """Loose records that are empty or do not end as JSON does: what a full disk leaves. ``verify`` reads them whole."""
    count, damaged = 0, []
    for path in (results / "records").rglob("*.json"):
        count += 1
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16))
            if not file.read().rstrip().endswith(b"}"):
                damaged.append(path)
    if damaged:
        fix = "run the study again, which makes them anew"
        return [Check("records", "note", f"{len(damaged)} of {count} are cut short, such as {damaged[0]}", fix)]
    return [Check("records", "ok", f"{count} loose records, none cut short")]


def _hub() -> list[Check]:
    from tasks.network import silence

    reason = silence(os.environ.get("HF_ENDPOINT") or "https://huggingface.co", "the hub")
    return [Check("hub", "note", reason, "local copies: --data-dir DIR") if reason else Check("hub", "ok", "it answers")]
