"""Whether this machine can run a study: one line a check, with what mends it. Nothing here trains, and no check raises or hangs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

import tasks
from benchmark.executors import cores
from benchmark.trying import tried
from methods import registry

Status = Literal["ok", "note", "problem"]
SECONDS = 4.0
"""That all checks may take, side by side."""
PROGRAMS = 3.5
"""That programs may take which a check waits for."""
LEAST = 200 << 20
"""Bytes that a study should find free."""
PACKAGES = ("torch", "numpy", "scipy", "msgspec", "typer", "rich", "torchmetrics")
DEVICE = """import json, torch
gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([gpus, torch.cuda.get_device_name() if gpus else "", torch.version.cuda]))"""
IMPORTS = {"torch": DEVICE, "numpy": "import numpy", "scipy": "import scipy.stats"}
"""Those whose libraries may fail to load where all their files are there; the others are text, and either there or not."""
OTHERS = "import json, tasks; print(json.dumps([each.why for each in tasks.problems_left_out()]))"
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


Look = tuple[str, Callable[[], list[Check]]]
"""Its name, and what it does."""


def examine(results: Path, *, offline: bool = False) -> list[Check]:
    """All checks, bounded in time together; without the network where ``offline``."""
    looks: list[Look] = [
        ("python", _python),
        ("packages", _packages),
        ("imports", _imports),
        ("lock", _lock),
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
    return bounded(looks)


def cheap(results: Path) -> list[Check]:
    """What takes milliseconds, and no network or torch: whether the folders that a study writes to take it."""
    places = {"results": results, "cache": Path(tasks.Locations().cache), "temporary": Path(tempfile.gettempdir())}
    return [_folder(name, place.absolute()) for name, place in places.items()]


def bounded(looks: Sequence[Look], seconds: float = SECONDS) -> list[Check]:
    """What looks find, side by side and in their order; where one raises, or is not done in time, that is its finding."""
    end = time.monotonic() + seconds
    found: dict[str, list[Check]] = {}

    def run(name: str, look: Callable[[], list[Check]]) -> None:
        try:
            found[name] = look()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a broken installation raises is what is looked for
            said = " ".join(f"{type(error).__name__}: {error}".split())
            found[name] = [Check(name, "problem", f"cannot be checked: {said}", "mend what it names")]

    threads = [threading.Thread(target=run, args=look, daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"no answer within {seconds:g} s"
    return [each for name, _ in looks for each in found.get(name, [Check(name, "note", late, "try again when the machine is idle")])]


def _python() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    return [Check("python", "ok" if fits else "problem", version, "" if fits else "install Python 3.11 or newer")]


def _packages() -> list[Check]:
    """That they are installed, and what they need with them."""
    found, broken = [], []
    for name in PACKAGES:
        version = _version(name)
        if version is None:
            broken.append(Check(name, "problem", "is not installed", f"pip install {name}"))
            continue
        found.append(f"{name} {version}")
        needed = [line.strip() for line in metadata.requires(name) or [] if ";" not in line]  # else of some systems or extras only
        for line in needed:
            other = re.match(r"[\w.-]+", line)
            if other and _version(other[0]) is None:
                broken.append(Check(name, "problem", f"needs {other[0]}, which is not installed", f"pip install '{line}'"))
    return [*broken, Check("packages", "ok", ", ".join(found))]


def _imports() -> list[Check]:
    """That the libraries of packages load, and which GPUs torch finds with them."""
    checks = []
    ran = tried(IMPORTS, PROGRAMS)
    for name, each in ran.items():
        if each.late:
            message = f"importing it takes more than {PROGRAMS:g} s"
            checks.append(Check(name, "note", message, "try again when the machine is idle"))
        elif each.wrong:
            checks.append(Check(name, "problem", f"cannot be imported: {each.wrong}", f"pip install --force-reinstall {name}"))
    loaded = [name for name in ran if name not in {check.name for check in checks}]
    if loaded:
        checks.append(Check("imports", "ok", ", ".join(loaded)))
    if "torch" not in loaded:
        return [*checks, Check("device", "note", "not known, as torch was not imported")]
    gpus, kind, cuda = json.loads(ran["torch"].printed.splitlines()[-1])
    if gpus:
        return [*checks, Check("device", "ok", f"{gpus} GPUs: {kind}, CUDA {cuda}")]
    return [*checks, Check("device", "note", f"no GPU that torch {_version('torch')} can use: trials train on the CPU")]


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
    """Entry points that give nothing. Problems have to be imported to be known, which strangers' code may not survive."""
    wrong = [each.why for each in registry.left_out()]
    problems = tried({"problems": OTHERS}, PROGRAMS)["problems"]
    if problems.late or problems.wrong:
        why = problems.wrong or f"it takes more than {PROGRAMS:g} s"
        wrong.append(f"problems of other packages cannot be imported: {why}")
    else:
        wrong += json.loads(problems.printed.splitlines()[-1])
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
