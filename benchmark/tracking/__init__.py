"""A study in Weights & Biases, as it goes on. Nothing here can stop, slow or change the study.

    study -> Tracker (watcher.py: tells paths of records, never waits) -> pipe -> service.py -> writer.py (wandb) -> server or folder

All of W&B is in a process of its own: its imports, its threads, its temporary files, what it prints, and every way in which it can fail
or hang. The study writes some hundred bytes a trial into a pipe and goes on; the service reads the records from the store. When the service
fails, one warning says so and how to send later what there is.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmark.errors import UsageError
from tasks.errors import require

MODES = ("off", "offline", "online")
RUNS = ("study", "trial")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Whether, where and how to track."""

    mode: str = "off"
    runs: str = "study"
    """One W&B run a study; or one a trial as well, in a group with the study's."""
    project: str = "lossbench"
    entity: str = ""
    """Team or user; empty for the user's own default."""

    def check(self) -> None:
        """Raises UsageError or MissingDependency where this cannot be: what can be said without importing wandb."""
        for flag, value, allowed in (("--wandb", self.mode, MODES), ("--wandb-runs", self.runs, RUNS)):
            if value not in allowed:
                raise UsageError(f"{flag} is {value!r}; expected one of {', '.join(allowed)}")
        forbidden = sorted(set(self.project) & set("/\\#?%:"))
        if not self.project or len(self.project) > 128 or forbidden:
            found = f"contains {' '.join(forbidden)}" if forbidden else f"has {len(self.project)} characters"
            raise UsageError(f"--wandb-project is {self.project!r}, which {found}; expected 1 to 128 characters without / \\ # ? % :")
        if self.mode != "off":
            require(["wandb"], f"--wandb {self.mode}")


def folder(results: Path) -> Path:
    """Where everything of W&B is kept: its runs, what waits to be sent, and which records they hold."""
    return results / "wandb"
