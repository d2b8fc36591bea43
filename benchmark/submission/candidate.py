"""The file that is submitted: one method, read here and never run."""

from __future__ import annotations

import ast
import shlex
from dataclasses import dataclass
from pathlib import Path

import methods
from benchmark.errors import UsageError
from benchmark.validation import LARGEST
from methods import registry
from methods.registry import Source

ABOVE = ("benchmark", "tasks")
"""Packages that no method may import."""


@dataclass(frozen=True)
class Candidate:
    """A method's file, its text as it was when it was read."""

    path: Path
    given: str
    """The path as the user wrote it, for commands that are shown."""
    text: bytes
    source: Source
    digest: str

    @property
    def card(self) -> methods.Card:
        return self.source.card

    @property
    def name(self) -> str:
        return self.card.name

    def command(self, words: str) -> str:
        """``python -m benchmark WORDS FILE``."""
        return f"python -m benchmark {words} {shlex.quote(self.given)}"

    def check_unchanged(self) -> None:
        """Raises UsageError where the file is no longer what was read: its records and findings would be of another one."""
        if self.path.read_bytes() != self.text:
            raise UsageError(f"{self.given} was changed while it was looked at: submit again")


def read(word: str) -> Candidate:
    """The method of a file, known to the registry from then on.

    Raises:
        UsageError: no such file, a folder, a link, too large, several methods, or a method that the package cannot take in.
        MethodError: the file is not Python, registers nothing, or takes the name of another method.
    """
    path = Path(word)
    _check(word, path)
    try:
        text = path.read_bytes()
        names = methods.load(path)
        if len(names) > 1:
            raise UsageError(f"{word} registers {' and '.join(names)}: expected one method a file, so give each a file of its own")
        source = registry.read(path.resolve())[names[0]]
        found = Candidate(path.resolve(), word, text, source, source.digest())
        unfit = unfitness(source.card, text) or _beside(text, path)
    except OSError as error:
        raise UsageError(f"{word} cannot be read: {error.strerror}") from error
    if unfit:
        raise UsageError(f"{word}: {unfit}")
    found.check_unchanged()
    return found


def _check(word: str, path: Path) -> None:
    """Raises UsageError for whatever is no method's file, before it is opened."""
    if ":" in path.name and not word.endswith(".py"):
        raise UsageError(
            f"{word} is an object to adapt, which anybody can run under that name, and no submission: run it "
            f"(python -m benchmark run --suite smoke --methods {word}), or write a method's file that computes the same "
            "(see CONTRIBUTING.md)"
        )
    if path.is_symlink():
        raise UsageError(f"{word} is a link, and what it leads to may change: give the file itself ({path.resolve()})")
    if path.is_dir():
        raise UsageError(f"{word} is a folder; expected the file of one method, such as root_norm.py")
    if path.suffix != ".py":
        raise UsageError(
            f"{word!r}: expected the file of one method, such as root_norm.py (one that runs as it is: python -m benchmark new NAME)"
        )
    if not path.is_file():
        raise UsageError(f"no such method file: {word} (one that runs as it is: python -m benchmark new NAME)")
    if path.resolve().parent == Path(methods.__file__).resolve().parent:
        raise UsageError(f"{word} is in the package already, and needs no submission")
    if "," in word:
        raise UsageError(f"{word!r} has a comma, which parts names in --methods: give the file another name or folder")
    size = path.stat().st_size
    if size > LARGEST:
        raise UsageError(f"{word} has {size:,} bytes; expected at most {LARGEST:,}: a method's file holds its equation, and no data")


def unfitness(card: methods.Card, text: bytes) -> str:
    """Why the package ``methods`` cannot take in a method; nothing where it can."""
    if why := registry.reserved(card.name):
        return f"method name {card.name!r}, {why}: choose another"
    if card.baseline:
        return f"the card of {card.name} says baseline=True, which would put it into everybody's studies: leave it out"
    if above := sorted(imported(text) & {*ABOVE}):
        return f"imports {', '.join(above)}: expected methods, torch, numpy and scipy alone, as methods know nothing of the harness"
    return ""


def imported(text: bytes) -> set[str]:
    """Top-level packages that a file imports anywhere; relative imports as the empty name."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("" if node.level else (node.module or "").partition(".")[0])
    return found


def _beside(text: bytes, path: Path) -> str:
    """What the file imports from its own folder, which would be left behind."""
    left = [name for name in sorted(imported(text)) if name not in ("", "methods") and (path.parent / f"{name}.py").is_file()]
    return f"imports {', '.join(left)} from its folder, which would be left behind: put it all into one file" if left else ""
