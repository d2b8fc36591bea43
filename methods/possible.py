"""Work that can be left out where it costs no wait to know that it changes nothing."""

from __future__ import annotations

from torch import Tensor


def possible(condition: Tensor) -> bool:
    """Whether a condition ``[]`` is true, as far as can be known: True on a device that would have to be waited for.

    What follows must then be right either way: ``if possible(c): x.copy_(torch.where(c, new, x))``.
    """
    return not condition.is_cpu or bool(condition)
