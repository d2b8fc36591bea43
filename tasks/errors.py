"""What can be wrong before any training: one line each, naming the value, what was expected and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec

_EXTRAS = {
    "sklearn": ("scikit-learn", "suites"),
    "skimage": ("scikit-image", "suites"),
    "moocore": ("moocore", "suites"),
    "datasets": ("datasets", "hub"),
    "pyarrow": ("datasets", "hub"),
    "PIL": ("pillow", "hub"),
    "matplotlib": ("matplotlib", "plot"),
    "jinja2": ("jinja2", "site"),
    "plotly": ("plotly", "site"),
    "ray": ("ray[tune]", "sweep"),
    "optuna": ("optuna", "sweep"),
    "wandb": ("wandb", "track"),
}
"""Importable name -> (name on PyPI, extra of this package that installs it)."""


class TaskError(ValueError):
    """A problem or suite that was asked for cannot be had; the message is one line."""


class MissingDependency(TaskError):
    """An optional package that a problem needs is not installed."""


def require(packages: Iterable[str], needed_by: str, extra: str | None = None) -> None:
    """Checks, without importing them, that packages can be imported.

    Args:
        extra: of this package, where it is another one than that which usually installs them.

    Raises:
        MissingDependency: names the first package that is missing and the command that installs it.
    """
    for package in packages:
        if not _importable(package):
            distribution, usual = (package, extra) if extra else _EXTRAS.get(package, (package, None))
            what = f"'lossbench[{usual}]'" if usual else distribution
            raise MissingDependency(f"{needed_by} needs {distribution}: pip install {what}")


def _importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # an import hook refuses it, or sys.modules holds None for it
        return False


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'digits'?`` where something close is known, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
