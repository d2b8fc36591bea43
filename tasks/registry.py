"""Every problem by name. Importing this imports no numpy, torch or scikit-learn: problems load them when they are opened.

Problems of other packages and of the user (:mod:`tasks.outside`) are found after this package's own.
"""

from __future__ import annotations

from pathlib import Path

from tasks import (
    adult,
    celeba,
    cityscapes,
    credit,
    curves,
    diabetes,
    digits,
    gradnorm_toy,
    lol,
    multidigits,
    multimnist,
    nyuv2,
    outside,
    photos,
    qm9,
    rooms,
    two_objective,
    utkface,
    vlmop,
    wine,
    zdt,
)
from tasks.base import Problem
from tasks.errors import TaskError, suggest
from tasks.outside import LeftOut, Origin

_MODULES = (
    *(rooms, nyuv2, cityscapes),
    *(digits, multidigits, wine, diabetes, credit, adult, utkface, multimnist, qm9, celeba),
    *(photos, curves, lol),
    *(two_objective, vlmop, zdt, gradnorm_toy),
)
_OWN: dict[str, Problem] = {problem.card.name: problem for module in _MODULES for problem in module.PROBLEMS}


def problems() -> dict[str, Problem]:
    """Every problem by name, in the order in which they are listed: this package's own, those of others, those of the user."""
    others = {**outside.installed(_OWN).origins, **outside.loaded}
    return _OWN | {name: each.problem for name, each in others.items()}


def problem(name: str, folder: Path | None = None) -> Problem:
    """The problem called ``name``, or the one that ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` names, which is then known by its own name.

    Other packages are looked into only where this one has none of that name.

    Args:
        folder: where a relative path of a file starts; the current folder by default.

    Raises:
        TaskError: no problem has that name (the message suggests the nearest), :func:`load` finds none, or several.
    """
    if ":" in name:
        names = load(name, folder)
        if len(names) > 1:
            raise TaskError(f"{name} is {len(names)} problems ({', '.join(names)}); expected one: name an object that is one of them")
        name = names[0]
    if name in _OWN:
        return _OWN[name]
    found = origin(name)
    if found is None:
        hint = suggest(name, problems())
        raise TaskError(f"unknown problem {name!r}{hint} (list them: python -m benchmark list problems){_lacking(name)}")
    return found.problem


def _lacking(name: str) -> str:
    """What an unknown name may owe to a broken package: why that of an entry point so called is left out, else that there are such."""
    why = [each.why for each in problems_left_out() if each.entry == name]
    if problems_left_out() and not why:
        why = [f"{len(problems_left_out())} entry points of other packages are left out: python -m benchmark doctor says why"]
    return "".join(f"; {line}" for line in why)


def origin(name: str) -> Origin | None:
    """Where a problem of others is from; None for one of this package, or none at all."""
    if name in _OWN:
        return None
    return outside.loaded.get(name) or outside.installed(_OWN).origins.get(name)


def load(source: str, folder: Path | None = None) -> list[str]:
    """Makes the problems known that ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` names, and returns their names. Their code is run.

    Args:
        folder: where a relative path of a file starts; the current folder by default.

    Raises:
        TaskError: there is no such thing, it cannot be imported, it is no problem, or its name is taken.
    """
    return [each.problem.card.name for each in outside.load(source, _OWN, folder)]


def problems_left_out() -> tuple[LeftOut, ...]:
    """The entry points of other packages whose problems cannot be had. Imports all of them."""
    return outside.installed(_OWN).left_out
