"""One thread, repeatable examples, a cache of their own: tests neither fight for cores nor flicker, nor read what an earlier run left."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("lossbench", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("lossbench")

MADE = pytest.StashKey[str]()
FIRST = ("e2e", "tasks", "benchmark")
"""Folders whose files take longest: begun first, so that no process is left with one of them when the others have nothing more to do."""


def pytest_configure(config: pytest.Config) -> None:
    """What is generated or decoded once is so once a run: the first process makes the cache, those that it starts inherit it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # tests begun in the background: what they start would not hear Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        os.environ["LOSSBENCH_CACHE"] = config.stash[MADE] = tempfile.mkdtemp(prefix="lossbench-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=turn)


def pytest_unconfigure(config: pytest.Config) -> None:
    if MADE in config.stash:
        shutil.rmtree(config.stash[MADE], ignore_errors=True)
