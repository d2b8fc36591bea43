"""Figures of statistics over all problems at once; None where there is not enough for them."""

from __future__ import annotations

from benchmark.site.data import Board
from benchmark.site.marks import Figure


def ranks(board: Board) -> Figure | None:
    return None


def profiles(board: Board) -> Figure | None:
    return None
