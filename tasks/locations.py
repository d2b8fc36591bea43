"""Where a problem may look for its data. Only these paths decide it, and none of them is part of a trial's identity."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def default_cache() -> str:
    """``$LOSSBENCH_CACHE``, else ``lossbench`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; absolute, as workers may run elsewhere."""
    named = os.environ.get("LOSSBENCH_CACHE")
    folder = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lossbench"
    return str(folder.expanduser().absolute())


@dataclass(frozen=True, slots=True)
class Locations:
    """What the command line says about data: handed from there to :meth:`tasks.Problem.open`, in this process or a worker.

    Attributes:
        data: folder of the user's local copies (``--data-dir``): a problem looks into ``data/NAME``, then into ``data`` itself.
        cache: folder of what was decoded or generated once (:func:`default_cache`).
        offline: nothing is ever downloaded; what is missing is an error that says how to get it.
    """

    data: str | None = None
    cache: str = field(default_factory=default_cache)
    offline: bool = False
