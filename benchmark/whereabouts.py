"""What a study leaves beside its records for ``status``: which trials it is made of and, while it runs, a sign of life.

Nothing but ``status`` reads it; the store alone says what has been done. Files that are missing, cut short or not ours harm nothing.
"""

from __future__ import annotations

import msgspec

from benchmark.records import Role

FOLDER = "studies"
"""Under the root of the store, beside the records."""
PLAN, LIFE = ".plan", ".life"
"""Ends of the files' names: JSON, but not to be taken for records."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The trials of one entrant on one problem."""

    role: Role
    problem: str
    entrant: str
    trials: list[str]
    """Ids. Of an evaluation that its tuning has yet to decide, those of the published defaults: equally many."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All trials of a study."""

    suite: str
    started: float
    """Seconds since 1970: when it was last begun or resumed."""
    jobs: int
    """Trials at once."""
    cells: list[Cell]


class Underway(msgspec.Struct, frozen=True, kw_only=True):
    """Trials that a worker is at."""

    trials: list[str]
    name: str
    since: float
    """Seconds since 1970."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A driver at work; there as long as it is, and longer if it was killed."""

    process: int
    host: str
    started: float
    beat: float
    """Seconds since 1970: when this was written."""
    underway: list[Underway]
    lost: int = 0
    """Trials that were lost to the machine and run again."""
