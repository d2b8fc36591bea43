"""The session of problems whose inputs are stored as bytes: uint8 ``[N, C, H, W]``, standardised a channel, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.supervised import Standard, SupervisedSession

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageSession(SupervisedSession):
    """As its parent, with fewer rows evaluated at once and nothing of the size of the set in float64."""

    chunk = 512

    def standardiser(self, inputs: NDArray[Any], train: NDArray[np.int64]) -> Standard:
        return PixelStandardiser(inputs, train)


class PixelStandardiser:
    """``(pixel - mean) / std`` by channel, of the training rows: a table of 256 values, as their counts say them exactly."""

    def __init__(self, inputs: NDArray[np.uint8], train: NDArray[np.int64]) -> None:
        channels, rows = inputs.shape[1], np.sort(train)
        counts = np.zeros((channels, 256), np.int64)
        for start in range(0, len(rows), 1024):
            piece = inputs[rows[start : start + 1024]]
            for channel in range(channels):
                counts[channel] += np.bincount(piece[:, channel].ravel(), minlength=256)
        levels = np.arange(256)
        mean = (counts * levels).sum(1) / counts.sum(1)
        std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / counts.sum(1))
        self._mean, self._scale = (each[:, None, None] for each in (mean, np.where(std > 0, std, 1)))
        self._table = ((levels - self._mean[:, 0]) / self._scale[:, 0]).astype(np.float32)

    def __call__(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        standard = np.empty(inputs.shape, np.float32)
        for channel, table in enumerate(self._table):
            np.take(table, inputs[:, channel], out=standard[:, channel])
        return standard

    def undo(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """The pixels as they were, 0 for the byte 0 and 1 for the byte 255."""
        inputs: NDArray[np.float64] = (scaled * self._scale + self._mean) / 255
        return inputs
