"""What a camera sees of a scene: colour, class, depth and surface normal of every pixel, with the faults of a real sensor.

The colour image has textures, up to three lights with shadows, and noise that grows with the light. Depth is missing (0) where a
structured-light camera loses it: far away, at grazing angles, on black and on glass, beside edges, and here and there. Normals, which
such cameras get from depth, are missing besides along edges. Labels are missing (-1) on things of no class and on some edge pixels, as
where annotators' outlines do not meet. Where depth, labels and normals exist they are those of the exact geometry, rounded to their
storage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.rooms.draws import Draws, Floats, lattice
from tasks.rooms.furnish import BLOTCHES, CHECKER, DRAWERS, PANES, PICTURE, PLANKS, SCREEN, SPINES, Scene
from tasks.rooms.raycast import FIRST_SOLID, Hits, Vector, cast, reaches

FOCAL = 0.85
"""Focal length in image widths: a horizontal field of view of 61 degrees, about that of the sensor of NYUv2."""
MILLIMETRES, UNITS = 1000, 32767
"""Stored depth a metre; stored length of a unit normal."""

_FAR, _GRAZING, _BLACK, _JUMP = 6.5, 0.12, 0.03, 0.08


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One image as it is stored."""

    rgb: NDArray[np.uint8]
    """``[3, H, W]``."""
    label: NDArray[np.int8]
    """``[H, W]``: 0 .. 12, or -1."""
    depth: NDArray[np.int16]
    """``[H, W]``: along the optical axis, in millimetres; 0 where it is missing."""
    normal: NDArray[np.int16]
    """``[3, H, W]``: x to the right, y up, z towards the camera, of length 32767; the zero vector where it is missing."""


def pinhole(height: int, width: int) -> tuple[Floats, Floats]:
    """How far right and up of the optical axis a pixel's ray is at a depth of one, ``[H, W]`` each."""
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    scale = FOCAL * width
    return (u + 0.5 - width / 2) / scale, (height / 2 - v - 0.5) / scale


def render(scene: Scene, height: int, width: int, draw: Draws) -> View:
    """The scene at ``height`` x ``width`` pixels, one ray a pixel."""
    right, up = (each.ravel() for each in pinhole(height, width))
    direction: Vector = tuple(scene.axes[2, i] + right * scene.axes[0, i] + up * scene.axes[1, i] for i in range(3))
    origin: Vector = tuple(np.full(1, part) for part in scene.camera)  # type: ignore[assignment]
    hits = cast(scene.solids, origin, direction)
    point: Vector = tuple(o + hits.distance * d for o, d in zip(origin, direction, strict=True))  # type: ignore[assignment]
    albedo, glow = _paint(scene, hits)

    length = np.sqrt(_dot(direction, direction))
    facing = -_dot(hits.normal, direction) / length
    light = _light(scene, point, hits.normal)
    colour = (np.where(glow, 1.0, light) * albedo).reshape(3, height, width)

    depth = hits.distance.reshape(height, width)
    label = np.array(scene.labels, dtype=np.int8)[hits.surface].reshape(height, width)
    outline, jump, shadow = _edges(label, depth)
    label = np.where(outline & (draw.many(height, width) < 0.3), np.int8(-1), label)

    black = ((albedo[0] + albedo[1] + albedo[2]) / 3 < _BLACK).reshape(height, width)
    lost = (depth > _FAR) | (facing.reshape(height, width) < _GRAZING) | black | shadow
    lost |= glow.reshape(height, width) & (draw.many(height, width) < 0.8)
    lost |= draw.many(height, width) < 0.01
    normal = np.stack([_dot(hits.normal, tuple(sign * row)) for sign, row in zip((1, 1, -1), scene.axes, strict=True)])
    normal = np.where(lost | jump, 0.0, normal.reshape(3, height, width))
    return View(
        rgb=_expose(colour, draw),
        label=label,
        depth=_stored(np.where(lost, 0.0, depth) * MILLIMETRES),
        normal=_stored(normal * UNITS),
    )


def _stored(values: Floats) -> NDArray[np.int16]:
    return np.floor(values + 0.5).astype(np.int16)


def _dot(one: Vector, two: Vector) -> Floats:
    return one[0] * two[0] + one[1] * two[1] + one[2] * two[2]


def _light(scene: Scene, point: Vector, normal: Vector) -> Floats:
    """What falls on the points ``[R]``, ``[3, R]``: ambient light, more from above, and Lambert's law for the lamps that are in sight."""
    brightness = np.array(scene.ambient)[:, None] * (1.0 + 0.25 * normal[1])
    for position, colour in scene.lights:
        target: Vector = tuple(np.full(1, part) for part in position)  # type: ignore[assignment]
        away: Vector = tuple(t - p for t, p in zip(target, point, strict=True))  # type: ignore[assignment]
        square = _dot(away, away)
        cosine = _dot(away, normal) / np.sqrt(square)
        lit = np.flatnonzero(cosine > 0)
        start: Vector = tuple(p[lit] + 1e-3 * n[lit] for p, n in zip(point, normal, strict=True))  # type: ignore[assignment]
        seen = lit[reaches(scene.solids, start, target)]
        brightness[:, seen] += np.array(colour)[:, None] * (cosine[seen] / (0.5 + 0.12 * square[seen]))
    return brightness


def _edges(label: NDArray[np.int8], depth: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels ``[H, W]`` with another label beside them; with a jump in depth beside them; behind such a jump.

    The last are what the sensor's projector, which sits beside its camera, does not reach.
    """
    outline, jump, shadow = (np.zeros(depth.shape, dtype=bool) for _ in range(3))
    for one, two in (((slice(None), slice(1, None)), (slice(None), slice(-1))), ((slice(1, None),), (slice(-1),))):
        differs, step = label[one] != label[two], depth[one] - depth[two]
        for each, behind in ((one, step), (two, -step)):
            outline[each] |= differs
            jump[each] |= np.abs(behind) > _JUMP * depth[each]
            shadow[each] |= behind > _JUMP * depth[each]
    return outline, jump, shadow


def _expose(colour: Floats, draw: Draws) -> NDArray[np.uint8]:
    """Linear light ``[3, H, W]`` to 8 bits: photon and read-out noise, saturation, and a square root for gamma."""
    height, width = colour.shape[1:]
    right, up = pinhole(height, width)
    fallen = colour * (1.0 - 0.5 * (right * right + up * up))  # towards the corners
    noisy = fallen + draw.noise(*colour.shape) * np.sqrt(2e-5 + 6e-4 * fallen)
    grey = np.sqrt(np.minimum(np.maximum(noisy, 0.0), 1.0))
    return np.floor(grey * 255 + 0.5).astype(np.uint8)


# --- textures -----------------------------------------------------------------------------------------------------------------------------


def _paint(scene: Scene, hits: Hits) -> tuple[Floats, NDArray[np.bool_]]:
    """Reflected shares ``[3, R]``, and where the surface shines by itself and they are what it sends out."""
    pattern, scale = (np.array([getattr(look, name) for look in scene.looks])[hits.surface] for name in ("pattern", "scale"))
    first, second = (np.array([getattr(look, name) for look in scene.looks])[hits.surface].T for name in ("first", "second"))
    x, y, z = hits.local
    u, v = np.where(hits.face == 0, z, x), np.where(hits.face == 1, z, y)
    half = np.concatenate([np.tile(scene.solids.size, (FIRST_SOLID, 1)), scene.solids.half, np.ones((len(scene.solids.ball), 3))])
    half_u, half_v = (np.where(hits.face == axis, half[hits.surface, 2], half[hits.surface, other]) for axis, other in ((0, 0), (1, 1)))
    rim = np.minimum(half_u - np.abs(u), half_v - np.abs(v))

    a, b = u / scale, v / scale
    column, row = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
    salt = hits.surface
    mixed = np.select(
        [pattern == CHECKER, pattern == PLANKS, pattern == BLOTCHES, pattern == DRAWERS],
        [
            ((column + row) % 2).astype(np.float64),
            lattice(column, salt=salt),
            _smooth(2 * a, 2 * b, salt),
            ((b - row < 0.08) | (rim < 0.025)).astype(np.float64),
        ],
        0.0,
    )
    colour = first + (second - first) * mixed
    printed = np.stack([lattice(column, row, salt=second[0].astype(np.int64) + 1000 * i) for i in range(3)])
    # the spines of a pile of books lie along its height, those of a row along its width
    cell = np.where(second[1] > 0.5, row, column)
    bound = np.stack([lattice(cell, salt=second[0].astype(np.int64) + 1000 * i) for i in range(3)])
    colour = np.where((pattern == PICTURE) & (rim > 0.04), 0.1 + 0.8 * printed, colour)
    colour = np.where(pattern == SPINES, 0.06 + 0.8 * bound * bound, colour)

    bars = (rim < 0.05) | (np.abs(u) < 0.025)
    glass = (pattern == PANES) & ~bars & (rim < 1)
    colour = np.where((pattern == PANES) & bars, second, colour)
    colour = np.where(glass, colour * (1.0 + 0.35 * v), colour)
    shine = (pattern == SCREEN) & (rim > 0.03)
    colour = np.where(shine & (_smooth(3 * u, 3 * v, salt) > 0.72), second * 0.3, colour)

    grain = 0.92 + 0.16 * _smooth(40 * u, 40 * v, salt)
    return colour * np.where(glass, 1.0, grain), glass


def _smooth(a: Floats, b: Floats, salt: NDArray[np.int64]) -> Floats:
    """Value noise in [0, 1): numbers on a unit lattice, linear between them."""
    low_a, low_b = np.floor(a), np.floor(b)
    i, j, s, t = low_a.astype(np.int64), low_b.astype(np.int64), a - low_a, b - low_b
    near = lattice(i, j, salt=salt) * (1 - s) + lattice(i + 1, j, salt=salt) * s
    far = lattice(i, j + 1, salt=salt) * (1 - s) + lattice(i + 1, j + 1, salt=salt) * s
    return near * (1 - t) + far * t
