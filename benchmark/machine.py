"""What a record says about where it was made, and the memory that it took."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

import tasks
from benchmark.errors import UsageError
from methods import syntax
from methods.registry import find

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """``auto`` is the GPU where torch sees one.

    Raises:
        UsageError: ``cuda`` where torch sees none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda, but torch sees no CUDA device: use --device cpu, or install a CUDA build of torch")
    return ("cuda" if available else "cpu") if name == "auto" else name


def environment(device: str, method: str, problem: str = "") -> dict[str, str]:
    """Versions and hardware: what may change the last bits of a record, and what a re-run would need.

    Of a method or problem of another package also its name and version, and of every problem that is not this package's what its text was.
    """
    source, origin = find(method), tasks.origin(problem) if problem else None
    found = {
        "lossbench": metadata.version("lossbench"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a subclass of str, which JSON refuses
        "numpy": metadata.version("numpy"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "method_source": source.digest() if source else "",
        "method_package": source.package if source else "",
        "problem_source": syntax.digest(origin.path) if origin and origin.path else "",
        "problem_package": origin.package if origin else "",
    }
    return {name: value for name, value in found.items() if value}


@cache
def processor() -> str:
    """Model of the CPU, whose libraries choose their code by it; empty where the system does not tell."""
    try:
        lines = _MODELS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((" ".join(line.partition(":")[2].split()) for line in lines if line.startswith("model name")), "")


_MODELS = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_memory(device: str) -> None:
    """Forgets the high-water mark, so that a warm worker's record does not show an earlier trial's."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # Linux: resets VmHWM


def peak_memory(device: str) -> int | None:
    """Bytes: allocated on the GPU, or resident in this process; None where the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if not (_STATUS.exists() and _CLEAR.exists()):
        return None
    lines = _STATUS.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
