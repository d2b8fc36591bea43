"""What the measurements are told on the command line: read so that what makes no sense is one line, before anything is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import methods


def some_of(known: Iterable[str], separator: str = ",") -> Callable[[str], list[str]]:
    """Reads names out of these."""
    names = list(known)

    def read(text: str) -> list[str]:
        found = [part for part in text.split(separator) if part]
        for name in found or [text]:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of: {separator.join(names)}")
        return found

    return read


def registered(text: str) -> list[str]:
    """Reads names of methods."""
    found = [part for part in text.split(",") if part]
    try:
        for name in found or [text]:
            methods.card(name)
    except methods.MethodError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def sizes(text: str) -> list[int]:
    """Reads numbers of tasks."""
    found = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if min(found) < 2:
        raise argparse.ArgumentTypeError(f"{text!r}; expected numbers of tasks, 2 or more, as 2,10")
    return found


def at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number, of this or more."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of {least} or more")
        return int(text)

    return read


def make(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Makes the folder that is written to, once all else makes sense."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out is {str(folder)!r}; expected a folder that is there or can be made ({error.strerror})")
