"""Rays against a room with boxes and balls in it: which surface is hit, where, and which way it faces.

Lengths are metres. World axes: x along the back wall, y up, z into the room; the room is [0, X] x [0, Y] x [0, Z]. Only + - * /, square
roots and comparisons are used, which IEEE 754 fixes to the last bit, and no reduction whose order a library may choose: every
machine gets the same arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.rooms.draws import Floats

Vector = tuple[Floats, Floats, Floats]
"""x, y and z, of shapes that broadcast."""

FLOOR, CEILING, WALLS = 0, 1, (2, 3, 4, 5)
"""Numbers of the room's own surfaces; walls at x = 0, x = X, z = 0, z = Z. Boxes and then balls follow."""
FIRST_SOLID = 6

_FACES = ((2, 3), (FLOOR, CEILING), (4, 5))  # by axis: the surface at 0, the surface at the far side
_NEAR = 1e-3
_AT_ONCE = 192
"""Rays whose distances to all boxes fit a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Solids:
    """B boxes, each turned about the vertical, and S balls."""

    size: Floats
    """X, Y, Z of the room ``[3]``."""
    centre: Floats
    """Of the boxes ``[B, 3]``."""
    half: Floats
    """Half their edges ``[B, 3]``, in their own axes."""
    turn: Floats
    """Cosine and sine of their angle ``[B, 2]``: x = c x' + s z', z = c z' - s x' takes a box's axes to the world's."""
    ball: Floats
    """Centre and radius of the balls ``[S, 4]``."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What R rays meet first."""

    distance: Floats
    """``[R]``, in lengths of the ray's direction."""
    surface: NDArray[np.int64]
    """``[R]``: a surface of the room, or FIRST_SOLID + the number of the solid."""
    face: NDArray[np.int64]
    """``[R]``: the axis (0, 1, 2) that the face of the room or box is perpendicular to, in its own axes; 1 for balls."""
    normal: Vector
    """Of unit length, towards the ray's origin, world axes."""
    local: Vector
    """The point in the axes of its box or ball, from its centre; of the room, from the origin."""


def cast(solids: Solids, origin: Vector, direction: Vector) -> Hits:
    """First hits of rays that start inside the room, at ``origin`` (one for all, or one each), along ``direction`` ``[R]``."""
    wall, axis = _room(solids, origin, direction)
    boxes, balls = _boxes(solids, origin, direction), _balls(solids, origin, direction)
    distances = np.concatenate([wall[None], boxes, balls])
    first = distances.argmin(0)
    distance = np.take_along_axis(distances, first[None], 0)[0]
    point = _along(origin, direction, distance)

    outward = [np.where(d > 0, 1, 0) for d in direction]
    surface = np.select([axis == 0, axis == 1], [np.choose(outward[0], _FACES[0]), np.choose(outward[1], _FACES[1])], 0)
    surface = np.where(axis == 2, np.choose(outward[2], _FACES[2]), surface)
    normal = [np.where((axis == i) & (first == 0), np.where(direction[i] > 0, -1.0, 1.0), 0.0) for i in range(3)]
    local, face = list(point), axis.copy()

    count = len(boxes)
    hit = np.flatnonzero((first > 0) & (first <= count))
    if len(hit):
        which = first[hit] - 1
        surface[hit] = FIRST_SOLID + which
        for own, each in zip(local, _inside(solids, which, tuple(p[hit] for p in point)), strict=True):  # type: ignore[arg-type]
            own[hit] = each
        # the face that the point lies on is the one that it is nearest to, in lengths and not in shares of the edge
        gaps = np.stack([np.abs(np.abs(local[i][hit]) - solids.half[which, i]) for i in range(3)])
        face[hit] = gaps.argmin(0)
        side = [np.where(face[hit] == i, np.where(local[i][hit] > 0, 1.0, -1.0), 0.0) for i in range(3)]
        cos, sin = solids.turn[which].T
        for own, each in zip(normal, (cos * side[0] + sin * side[2], side[1], cos * side[2] - sin * side[0]), strict=True):
            own[hit] = each
    hit = np.flatnonzero(first > count)
    if len(hit):
        which = first[hit] - 1 - count
        surface[hit] = FIRST_SOLID + count + which
        face[hit] = 1
        for i in range(3):
            local[i][hit] = point[i][hit] - solids.ball[which, i]
            normal[i][hit] = local[i][hit] / solids.ball[which, 3]
    return Hits(distance, surface, face, (normal[0], normal[1], normal[2]), (local[0], local[1], local[2]))


def reaches(solids: Solids, start: Vector, target: Vector) -> NDArray[np.bool_]:
    """Whether nothing stands between points ``[R]`` and the point ``target``: the shadow test."""
    direction = (target[0] - start[0], target[1] - start[1], target[2] - start[2])
    free: NDArray[np.bool_] = (_boxes(solids, start, direction).min(0) >= 1) & ~(_balls(solids, start, direction) < 1).any(0)
    return free


def _along(origin: Vector, direction: Vector, distance: Floats) -> Vector:
    x, y, z = (o + distance * d for o, d in zip(origin, direction, strict=True))
    return x, y, z


def _slab(start: Floats, step: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Distances at which rays enter and leave low <= x <= high."""
    inverse = 1.0 / np.where(step == 0, 1e-30, step)
    one, two = (low - start) * inverse, (high - start) * inverse
    return np.minimum(one, two), np.maximum(one, two)


def _room(solids: Solids, origin: Vector, direction: Vector) -> tuple[Floats, NDArray[np.int64]]:
    leave = np.stack([_slab(o, d, np.float64(0), size)[1] for o, d, size in zip(origin, direction, solids.size, strict=True)])  # type: ignore[arg-type]
    axis = leave.argmin(0)
    return np.take_along_axis(leave, axis[None], 0)[0], axis


def _boxes(solids: Solids, origin: Vector, direction: Vector) -> Floats:
    """``[B, R]``; infinite where a ray misses the box or starts in it."""
    distance = np.empty((len(solids.half), len(direction[0])))
    for first in range(0, len(direction[0]), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        start: Vector = tuple(o[some] if len(o) > 1 else o for o in origin)  # type: ignore[assignment]
        distance[:, some] = _some_boxes(solids, start, tuple(d[some] for d in direction))  # type: ignore[arg-type]
    return distance


def _some_boxes(solids: Solids, origin: Vector, direction: Vector) -> Floats:
    cos, sin = (column[:, None] for column in solids.turn.T)
    x, y, z = (o - solids.centre[:, i, None] for i, o in enumerate(origin))
    dx, dy, dz = direction
    starts, steps = (cos * x - sin * z, y, sin * x + cos * z), (cos * dx - sin * dz, dy[None], sin * dx + cos * dz)
    entered, left = [], []
    for i in range(3):
        half = solids.half[:, i, None]
        enter, leave = _slab(starts[i], steps[i], -half, half)
        entered.append(enter)
        left.append(leave)
    enter = np.maximum(np.maximum(entered[0], entered[1]), entered[2])
    leave = np.minimum(np.minimum(left[0], left[1]), left[2])
    return np.where((enter < leave) & (enter > _NEAR), enter, np.inf)


def _inside(solids: Solids, which: NDArray[np.int64], point: Vector) -> Vector:
    """World points ``[R]`` in the axes of one box each."""
    cos, sin = solids.turn[which].T
    x, y, z = (p - solids.centre[which, i] for i, p in enumerate(point))
    return cos * x - sin * z, y, sin * x + cos * z


def _balls(solids: Solids, origin: Vector, direction: Vector) -> Floats:
    """``[S, R]``; infinite where a ray misses the ball or starts in it."""
    x, y, z = (o - solids.ball[:, i, None] for i, o in enumerate(origin))
    a = direction[0] * direction[0] + direction[1] * direction[1] + direction[2] * direction[2]
    b = x * direction[0] + y * direction[1] + z * direction[2]
    c = x * x + y * y + z * z - solids.ball[:, 3, None] * solids.ball[:, 3, None]
    inner = b * b - a * c
    enter = (-b - np.sqrt(np.maximum(inner, 0.0))) / a
    distance: Floats = np.where((inner > 0) & (enter > _NEAR), enter, np.inf)
    return distance
