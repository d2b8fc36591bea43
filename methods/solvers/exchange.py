"""The rule by which block pivoting moves from one guess of the passive set to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Exchange:
    """All wrong indices change sides while their number keeps falling; after three rounds that it does not, the last alone, which cannot
    cycle (Júdice & Pires, Computers & Operations Research 21, 1994)."""

    def __init__(self, size: int) -> None:
        self._fewest, self._chances = size + 1, 3

    def step(self, passive: Mask, wrong: Mask, wrongs: int) -> Mask:
        """The next passive set ``[T]``; ``wrongs`` is how many are wrong, at least one."""
        if wrongs < self._fewest:
            self._fewest, self._chances = wrongs, 3
        else:
            self._chances -= 1
        if self._chances < 0:
            last = int(wrong.nonzero()[0][-1])
            wrong = np.zeros_like(wrong)
            wrong[last] = True
        return passive ^ wrong
