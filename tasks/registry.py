"""Every problem by name. Importing this imports no numpy, torch or scikit-learn: problems load them when they are opened."""

from __future__ import annotations

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

_MODULES = (
    *(rooms, nyuv2, cityscapes),
    *(digits, multidigits, wine, diabetes, credit, adult, utkface, multimnist, qm9, celeba),
    *(photos, curves, lol),
    *(two_objective, vlmop, zdt, gradnorm_toy),
)
_PROBLEMS: tuple[Problem, ...] = tuple(problem for module in _MODULES for problem in module.PROBLEMS)


def problems() -> dict[str, Problem]:
    """Every problem by name, in the order in which they are listed."""
    return {problem.card.name: problem for problem in _PROBLEMS}


def problem(name: str) -> Problem:
    """The problem called ``name``.

    Raises:
        TaskError: no problem has that name; the message suggests the nearest.
    """
    known = problems()
    if name not in known:
        raise TaskError(f"unknown problem {name!r}{suggest(name, known)} (list them: python -m benchmark list problems)")
    return known[name]
