"""What the study and the tracking service say to each other: JSON, a line a message."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmark.tracking import Options


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first thing that the service is told, as its argument. All paths are absolute."""

    options: Options
    results: str
    temporary: str
    """A folder for what is thrown away; the service removes it when it leaves."""


class Begin(msgspec.Struct, frozen=True, tag=True):
    """A study begins."""

    suite: str
    config: dict[str, Any]


class Seen(msgspec.Struct, frozen=True, tag=True):
    """A record is in the store."""

    path: str


class End(msgspec.Struct, frozen=True, tag=True):
    """The study is done: the records of its tuning and of its table."""

    tuning: list[str]
    evaluation: list[str]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The server answers and knows the user."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It does not, and training has not begun: one line with the remedy."""

    message: str


class Running(msgspec.Struct, frozen=True, tag=True):
    """The run is open."""

    run: str
    """Its id; ids of further runs of the study begin with it."""
    url: str
    """Empty where it is written to a folder."""


class Alive(msgspec.Struct, frozen=True, tag=True):
    """A part of the work is done."""


class Trouble(msgspec.Struct, frozen=True, tag=True):
    """Tracking has ended before the study: one line."""

    message: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """Everything is written, and sent where there is a server."""


Order = Begin | Seen | End
Reply = Ready | Refused | Running | Alive | Trouble | Done
