"""Writes a site: into a folder of its own beside the wanted one, which then takes its place. Somebody else's folder is never touched."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.views import printable

ASSETS = Path(__file__).parent / "assets"
MARKER = ".lossbench-site"
"""A file that says that a folder was made here, and may be replaced."""
PARTS = {MARKER, "index.html", "assets", "methods", "problems", "runs", "suites", "pictures"}
"""What may lie in a folder that was made here; anything else is somebody's (records, the history of a repository)."""


def check(out: Path) -> None:
    """Before anything is made: may a site be written there?

    Raises:
        UsageError: it is a file, or a folder that this did not make or that somebody has put something into, or cannot be made.
    """
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise UsageError(f"--out {out}: expected a folder, or a name for a new one")
        there = {each.name for each in out.iterdir()} if out.is_dir() else set()
        strange = sorted(there - PARTS if MARKER in there else there)
        if strange:
            found = f"{printable(strange[0])}{f' and {len(strange) - 1} more' if len(strange) > 1 else ''}"
            raise UsageError(f"--out {out}: there are files that no site is made of ({found}), which are left alone: choose a new folder")
        parent = out.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(f"--out {out}: {parent} cannot be written to; choose another folder or mend its permissions")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def write(pages: Mapping[str, str], out: Path, pictures: Mapping[str, Path]) -> None:
    """Pages by path and pictures, with the assets that they need, as the folder ``out``: whole, or as it was before.

    Args:
        pages: text by path, relative to ``out``.
        out: see :func:`check`, which is asked again.
        pictures: files to copy, by path relative to ``out``.

    Raises:
        UsageError: somebody else's folder, or the disk refuses.
    """
    check(out)
    out = out.resolve()
    fresh, old = (out.with_name(f".{out.name}.{secrets.token_hex(4)}.{end}") for end in ("new", "old"))
    try:
        try:
            _fill(fresh, pages, pictures)
            if out.exists():
                out.rename(old)
            fresh.rename(out)
        except OSError as error:
            if old.exists() and not out.exists():
                old.rename(out)
            raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    finally:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def _fill(folder: Path, pages: Mapping[str, str], pictures: Mapping[str, Path]) -> None:
    assets = folder / "assets"
    assets.mkdir(parents=True)
    (folder / MARKER).write_text("Made by python -m benchmark site, which replaces this folder as a whole.\n", encoding="utf-8")
    for asset in sorted(ASSETS.iterdir()):
        if asset.is_file():
            shutil.copyfile(asset, assets / asset.name)
    (assets / "plotly.min.js").write_text(_plotly(), encoding="utf-8")
    for path, text in pages.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="backslashreplace")
    for path, picture in pictures.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)


def _plotly() -> str:
    """The library that draws, as it comes with plotly."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
