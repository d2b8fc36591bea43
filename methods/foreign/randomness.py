"""Foreign code draws from torch's global generators; here a method's own stands in for them, so that runs repeat and no others notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def standing_in(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Inside, the global host generator continues the stream of this one, which takes up where it ends; a GPU's is seeded from it.

    A method with seed s then draws on the host what its object draws at home after ``torch.manual_seed(s)``. Both global generators
    are put back. NumPy's and Python's are not torch's, and left alone.
    """
    gpu = None
    if device.type == "cuda":
        gpu = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
    kept = [(each, each.get_state()) for each in (torch.default_generator, gpu) if each is not None]
    torch.default_generator.set_state(generator.get_state())
    try:
        if gpu is not None:
            gpu.manual_seed(seed)
        yield
    finally:
        generator.set_state(torch.default_generator.get_state())
        for each, state in kept:
            each.set_state(state)
