"""What foreign code may read besides what it is given: Python, the packages, this project, the system's libraries and devices."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/proc", "/sys", "/System", "/Library",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group",
    "/etc/nsswitch.conf", "/etc/alternatives", "/etc/mime.types", "/etc/os-release", "/etc/fonts", "/etc/ssl/openssl.cnf", "/etc/gcrypt",
    "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
"""/proc of other processes is closed by the kernel; of /etc only what holds no secret."""
DEVICES = ("/dev/null", "/dev/full", "/proc/self/task", "/proc/self/clear_refs")
"""What may be written: nothing is kept there. The last makes the kernel forget a process's highest memory, which a record holds."""
PROJECT = ("methods", "tasks", "benchmark")
"""Need not be on the path: an editable installation finds them by a map of its own."""
GPU = ("nvidia*", "dri", "kfd", "shm")


@cache
def packages() -> tuple[Path, ...]:
    """Where Python finds modules. Of a folder that is not one of Python's own, such as a checkout or the working folder, what is in it,
    without hidden files: it may be somebody's home."""
    own = {Path(each).resolve() for each in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values())}
    found = own | {Path(str(sys.modules[name].__file__)).resolve().parent for name in PROJECT if name in sys.modules}
    for entry in sys.path:
        place = Path(entry or os.getcwd()).resolve()
        if any(place.is_relative_to(each) for each in own):
            continue
        found |= {place} if place.name in ("site-packages", "dist-packages") or place.is_file() else set(_visible(place))
    return tuple(sorted(found))


def _visible(folder: Path) -> Iterator[Path]:
    """Modules and packages of a folder."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        module = entry.name.endswith((".py", ".so", ".dist-info", ".egg-info"))
        if not entry.name.startswith(".") and (module or Path(entry.path, "__init__.py").is_file()):
            yield Path(entry.path)


def beside(file: Path) -> tuple[Path, ...]:
    """What is in the folder of a file; hidden things, which may hold keys, left out. Of a home, and of what is above it, files alone."""
    folder = file.parent
    home = Path(os.path.expanduser("~")).is_relative_to(folder)
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".") and (entry.is_file() or not home)]
    return tuple(sorted(Path(entry.path) for entry in entries))


def listed() -> tuple[Path, ...]:
    """Folders on the path whose entries an import has to see; what is in them is another matter."""
    return tuple(Path(entry or os.getcwd()).resolve() for entry in sys.path)


def devices(gpu: bool) -> tuple[Path, ...]:
    """What may be written besides the scratch folder."""
    extra = [path for pattern in GPU for path in sorted(Path("/dev").glob(pattern))] if gpu else []
    return (*map(Path, DEVICES), *extra)
