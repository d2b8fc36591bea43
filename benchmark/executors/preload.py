"""Imported by the fork server before it forks: whatever this imports, no worker imports again.

Nothing reached from here may start a thread or touch CUDA while it is imported: neither survives a fork.
"""

import contextlib
import gc
import importlib
import os

VARIABLE = "LOSSBENCH_PRELOAD"
"""Environment variable that names the module to import, the only thing that reaches the fork server besides names of modules."""

module = os.environ.pop(VARIABLE, None)
if module:
    with contextlib.suppress(Exception):  # not lost: each worker imports it again and reports what is wrong
        importlib.import_module(module)
gc.freeze()  # keeps the collector of a worker from writing to, and so copying, the pages it shares with the others
