"""What W&B has written offline, read back with its own tool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Segment:
    """One folder of a run: a call that wrote to it."""

    path: Path
    records: list[dict[str, Any]]
    summary: dict[str, Any]
    """State, exit code, configuration and summary of the run."""

    @property
    def run(self) -> dict[str, Any]:
        return self.only("run")

    def only(self, kind: str) -> dict[str, Any]:
        (found,) = (record[kind] for record in self.records if record["type"] == kind)
        return dict(found)

    @property
    def history(self) -> list[dict[str, Any]]:
        return [record["history"]["item"] for record in self.records if record["type"] == "history"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history's rows of trials."""
        return [item for item in self.history if "method" in item]

    def table(self, name: str) -> list[dict[str, Any]]:
        """A table of the last row, as dictionaries."""
        table = json.loads((self.path / "files" / self.history[-1][f"{name}.path"]).read_text(encoding="utf-8"))
        return [dict(zip(table["columns"], line, strict=True)) for line in table["data"]]

    def artifact(self, kind: str) -> dict[str, Path]:
        """The files of the artifact of a type, where they wait to be sent."""
        (found,) = (r["artifact"] for r in self.records if r["type"] == "artifact" and r["artifact"]["type"] == kind)
        return {entry["path"]: Path(entry["local_path"]) for entry in found["manifest"]["contents"]}


def segments(results: Path) -> list[Segment]:
    """All of them, in the order of their start."""
    return [read(path) for path in sorted((results / "wandb").glob("offline-run-*"))]


def read(path: Path) -> Segment:
    return Segment(path, [json.loads(line) for line in _inspect(path).splitlines()], json.loads(_inspect(path, "--summary")))


def _inspect(path: Path, *options: str) -> str:
    return wandb("leet", "inspect", "--json", *options, str(path)).stdout


def wandb(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The tool, without a network, a log-in or a home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    command = [sys.executable, "-m", "wandb", *arguments]
    env = {**kept, "WANDB_CONFIG_DIR": os.devnull, "WANDB_ERROR_REPORTING": "false"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
