"""The environment of foreign code: what is on a list, and nothing of what was there before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmark.sandbox import kernel

NAMES = {
    "PATH", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "NO_COLOR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "CUDA_HOME", "CUDA_PATH", "CXX", "CC", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_CBWR", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "PYTHONHASHSEED",
    "PYTHONUTF8", "PYTHONPATH", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "NVIDIA_TF32_OVERRIDE", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_MESSAGES", "SYSTEMROOT",
}  # fmt: skip
"""What may change results or is needed to find libraries; none of these holds a secret."""


def allowed(before: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The environment with the home and every cache in the scratch folder."""
    kept = {name: value for name, value in before.items() if name in NAMES}
    folder = str(scratch)
    caches = {
        "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
        "TRITON_CACHE_DIR": f"{folder}/triton",
        "CUDA_CACHE_PATH": f"{folder}/cuda",
        "MPLCONFIGDIR": f"{folder}/matplotlib",
    }
    return {**kept, "HOME": folder, "TMPDIR": folder, "XDG_CACHE_HOME": f"{folder}/.cache", **caches}


def replace(scratch: Path) -> None:
    """Gives this process that environment, and overwrites the one that it was started with, which /proc shows and memory holds."""
    new = allowed(os.environ, scratch)
    os.environ.clear()
    os.environ.update(new)
    place = Path("/proc/self/stat")
    if kernel.LINUX and place.exists():
        fields = place.read_text().rpartition(")")[2].split()
        start, end = int(fields[47]), int(fields[48])  # env_start and env_end, numbers 50 and 51 of proc(5), the first two cut off
        if 0 < start < end:
            kernel.wipe(start, end)
