"""What a session shows of itself, as plain data: rows of panels that any plotting library can draw.

A session returns its rows from :meth:`tasks.base.Session.gallery`; ``python -m benchmark plot`` draws them. Nothing here draws, and
nothing here imports numpy: arrays are made by whoever makes the panels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colours = Literal["rgb", "grey", "classes", "heat"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image, or a map of the same size.

    ``pixels`` is ``[H, W, 3]`` in 0..1 for ``rgb``; ``[H, W]`` in 0..1 for ``grey``; ``[H, W]`` integers for ``classes``, negative where
    there is no label; ``[H, W]`` in any unit for ``heat``, nan where there is no value. A target and its prediction are given the same
    ``span``, so that the same colour means the same value in both.
    """

    title: str
    pixels: NDArray[Any]
    colours: Colours = "rgb"
    span: tuple[float, float] | None = None
    """Lowest and highest value of the colour scale: 0 and K - 1 for K classes. None: those of the pixels."""
    unit: str = ""
    """Of a heat map; printed at its scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """A regression: ``prediction`` ``[N]`` over ``target`` ``[N]``, to be drawn with the diagonal."""

    title: str
    target: NDArray[Any]
    prediction: NDArray[Any]
    labels: tuple[str, str] = ("target", "prediction")


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """A classification: ``counts`` ``[K, K]`` of examples, a row for each true class and a column for each predicted one."""

    title: str
    counts: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    """Names of the K classes; their numbers if there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Lines of (name, x ``[S]``, y ``[S]``) in one diagram: tone curves, histograms."""

    title: str
    lines: tuple[tuple[str, NDArray[Any], NDArray[Any]], ...]
    labels: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A function on a rectangle: ``values`` ``[Y, X]`` at the grid points of ``x`` ``[X]`` and ``y`` ``[Y]``, for contours."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A way ``path`` ``[S, 2]`` from its start to its end through a plane (of the parameters, or of two losses).

    ``front`` is where it should end: curves ``[P, 2]``, several where the front is in pieces. Trajectories with one title, as those of
    several seeds, belong into one diagram.
    """

    title: str
    path: NDArray[np.float64]
    front: tuple[NDArray[np.float64], ...]
    labels: tuple[str, str]
    field: Field | None = None
    objectives: bool = False
    """Whether the plane is that of two losses, so that what the ends dominate means something."""


Panel = Picture | Scatter | Confusion | Curves | Trajectory


def in_rows(panels: list[Panel], width: int = 8) -> list[list[Panel]]:
    """Panels in rows of at most ``width``, as even as can be."""
    each = -(-len(panels) // -(-len(panels) // width)) if panels else 1
    return [panels[start : start + each] for start in range(0, len(panels), each)]
