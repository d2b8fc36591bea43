"""What tests here register is forgotten after each."""

from collections.abc import Iterator

import pytest

from methods import registry


@pytest.fixture
def forget() -> Iterator[None]:
    known = [dict(registry._defined), dict(registry._loaded)]
    yield
    for now, before in zip((registry._defined, registry._loaded), known, strict=True):
        now.clear()
        now.update(before)
