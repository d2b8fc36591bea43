from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from methods.foreign import source


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    known, modules = dict(source._known), set(sys.modules)
    yield
    source._known.clear()
    source._known.update(known)
    for name in set(sys.modules) - modules:
        if name.startswith(("lossbench_method_", "mypackage")):
            del sys.modules[name]
