"""What stands in a room: furniture and things, put together from boxes and balls, in places that do not overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tasks.rooms.draws import Draws, Floats
from tasks.rooms.raycast import Solids

CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "painting", "sofa", "table", "tv", "wall", "window",
)  # fmt: skip
"""The 13 classes of NYUv2, in its order."""

BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PAINTING, SOFA, TABLE, TV, WALL, WINDOW = range(len(CLASSES))
UNLABELLED = -1

PLAIN, CHECKER, PLANKS, BLOTCHES, PICTURE, PANES, SPINES, DRAWERS, SCREEN = range(9)
"""Patterns of :mod:`tasks.rooms.render`."""

Colour = tuple[float, float, float]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """A pattern of two colours (reflected share of red, green and blue) whose period is ``scale`` metres."""

    pattern: int
    scale: float
    first: Colour
    second: Colour


@dataclass(frozen=True, slots=True)
class Part:
    """A box (or a ball of radius ``half[0]``) of a piece of furniture, in its axes: x to its right, y up from the floor, z to its back."""

    label: int
    centre: Triple
    half: Triple
    look: Look
    ball: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Width and depth on the floor, the parts, and the flat tops (x, z, half width, half depth, height) that things may stand on."""

    width: float
    depth: float
    parts: list[Part]
    tops: list[tuple[float, float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A room with everything in it, and the camera. Surfaces are numbered as in :mod:`tasks.rooms.raycast`."""

    solids: Solids
    labels: list[int]
    looks: list[Look]
    camera: Floats
    """Where it is ``[3]``."""
    axes: Floats
    """Its right, up and forward as unit rows ``[3, 3]``."""
    lights: list[tuple[Triple, Colour]]
    ambient: Colour


# --- colours ------------------------------------------------------------------------------------------------------------------------------


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, part * factor) for part in colour)
    return red, green, blue


def _tint(draw: Draws, low: float, high: float, spread: float) -> Colour:
    """A grey between low and high whose channels are off by at most ``spread``."""
    grey = draw.between(low, high)
    red, green, blue = (max(0.02, grey + draw.between(-spread, spread)) for _ in range(3))
    return red, green, blue


def _wood(draw: Draws) -> Look:
    colour = _shade(draw.choice([(0.52, 0.33, 0.18), (0.38, 0.22, 0.12), (0.66, 0.50, 0.32), (0.72, 0.70, 0.66)]), draw.between(0.7, 1.15))
    return Look(draw.choice([PLANKS, BLOTCHES]), draw.between(0.12, 0.3), colour, _shade(colour, 0.75))


def _fabric(draw: Draws) -> Look:
    colour = _tint(draw, 0.2, 0.6, 0.22)
    return Look(draw.choice([PLAIN, BLOTCHES, PLANKS]), draw.between(0.1, 0.35), colour, _shade(colour, draw.between(0.65, 1.3)))


def _thing(draw: Draws) -> Look:
    return Look(draw.choice([PLAIN, BLOTCHES, CHECKER]), draw.between(0.05, 0.2), _tint(draw, 0.25, 0.6, 0.35), _tint(draw, 0.3, 0.8, 0.3))


# --- pieces -------------------------------------------------------------------------------------------------------------------------------


def _legs(label: int, width: float, depth: float, height: float, thick: float, look: Look) -> list[Part]:
    x, z = width / 2 - thick, depth / 2 - thick
    return [Part(label, (i * x, height / 2, j * z), (thick, height / 2, thick), look) for i in (-1, 1) for j in (-1, 1)]


def bed(draw: Draws) -> Piece:
    width, depth, height = draw.between(1.0, 1.8), draw.between(1.9, 2.1), draw.between(0.4, 0.6)
    cover, wood, pillow = _fabric(draw), _wood(draw), Look(PLAIN, 1.0, _tint(draw, 0.7, 0.85, 0.06), (0.8, 0.8, 0.8))
    head = draw.between(0.85, 1.2)
    parts = [
        Part(BED, (0, 0.15, -0.03), (width / 2, 0.15, depth / 2 - 0.05), wood),
        Part(BED, (0, 0.15 + height / 2, -0.03), (width / 2 - 0.04, height / 2 - 0.15, depth / 2 - 0.08), cover),
        Part(BED, (0, head / 2, depth / 2 - 0.04), (width / 2, head / 2, 0.04), wood),
    ]
    for x in (-width / 4, width / 4) if width > 1.3 else (0.0,):
        parts.append(Part(OBJECTS, (x, height + 0.05, depth / 2 - 0.33), (0.27, 0.06, 0.2), pillow))
    return Piece(width, depth, parts)


def sofa(draw: Draws) -> Piece:
    width, depth, seat, back = draw.between(1.4, 2.2), draw.between(0.8, 1.0), draw.between(0.38, 0.46), draw.between(0.75, 0.95)
    look, arm = _fabric(draw), 0.1
    parts = [
        Part(SOFA, (0, seat / 2, 0), (width / 2, seat / 2, depth / 2), look),
        Part(SOFA, (0, back / 2, depth / 2 - 0.12), (width / 2, back / 2, 0.12), look),
    ]
    parts += [Part(SOFA, (side * (width / 2 - arm), 0.3, 0), (arm, 0.3, depth / 2), look) for side in (-1, 1)]
    if draw.chance(0.6):
        parts.append(Part(OBJECTS, (draw.between(-0.5, 0.5), seat + 0.17, 0.12), (0.19, 0.17, 0.07), _thing(draw)))
    return Piece(width, depth, parts)


def chair(draw: Draws) -> Piece:
    width, seat, back = draw.between(0.4, 0.5), draw.between(0.42, 0.48), draw.between(0.8, 1.0)
    look = _wood(draw) if draw.chance(0.6) else _fabric(draw)
    parts = [
        Part(CHAIR, (0, seat, 0), (width / 2, 0.03, width / 2), look),
        Part(CHAIR, (0, (seat + back) / 2 + 0.03, width / 2 - 0.03), (width / 2, (back - seat) / 2, 0.03), look),
        *_legs(CHAIR, width, width, seat, 0.025, look),
    ]
    return Piece(width, width, parts)


def table(draw: Draws) -> Piece:
    low = draw.chance(0.35)
    width, depth = draw.between(0.9, 1.5), draw.between(0.6, 0.9)
    height = draw.between(0.38, 0.48) if low else draw.between(0.7, 0.78)
    look = _wood(draw)
    parts = [
        Part(TABLE, (0, height - 0.03, 0), (width / 2, 0.03, depth / 2), look),
        *_legs(TABLE, width, depth, height - 0.06, 0.035, look),
    ]
    return Piece(width, depth, parts, [(0, 0, width / 2, depth / 2, height)])


def cabinet(draw: Draws) -> Piece:
    tall = draw.chance(0.45)
    width, depth, height = draw.between(0.7, 1.3), draw.between(0.4, 0.6), draw.between(1.6, 2.1) if tall else draw.between(0.6, 1.1)
    colour = _wood(draw)
    look = Look(DRAWERS, draw.between(0.25, 0.5), colour.first, _shade(colour.first, 0.35))
    tops = [] if tall else [(0.0, 0.0, width / 2, depth / 2, height)]
    return Piece(width, depth, [Part(FURNITURE, (0, height / 2, 0), (width / 2, height / 2, depth / 2), look)], tops)


def bookcase(draw: Draws) -> Piece:
    width, depth, shelves = draw.between(0.8, 1.3), draw.between(0.3, 0.4), 3 + draw.index(3)
    wood, gap = _wood(draw), 0.36
    height = shelves * gap + 0.04
    dark = Look(PLAIN, 1.0, _shade(wood.first, 0.6), wood.second)
    parts = [Part(FURNITURE, (0, height / 2, depth / 2 - 0.02), (width / 2, height / 2, 0.02), dark)]
    parts += [Part(FURNITURE, (side * (width / 2 - 0.02), height / 2, 0), (0.02, height / 2, depth / 2), wood) for side in (-1, 1)]
    parts += [Part(FURNITURE, (0, i * gap + 0.02, 0), (width / 2, 0.02, depth / 2), wood) for i in range(shelves + 1)]
    for i in range(shelves):
        share, tall = draw.between(0.4, 0.95), draw.between(0.2, 0.29)
        half = share * (width / 2 - 0.04)
        x = (width / 2 - 0.04 - half) * draw.choice([-1.0, 1.0])
        spines = Look(SPINES, draw.between(0.04, 0.09), _tint(draw, 0.35, 0.5, 0.1), (float(draw.index(1000)), 0, 0))
        parts.append(Part(BOOKS, (x, i * gap + 0.04 + tall / 2, 0.02), (half, tall / 2, depth / 2 - 0.06), spines))
    return Piece(width, depth, parts)


def television(draw: Draws) -> Piece:
    stand = cabinet_low(draw)
    width = min(stand.width - 0.1, draw.between(0.8, 1.2))
    top = stand.tops[0][4]
    screen = Look(SCREEN, 1.0, (0.03, 0.03, 0.035), (draw.between(0.1, 0.4), draw.between(0.1, 0.4), draw.between(0.2, 0.5)))
    panel = Part(TV, (0, top + 0.06 + 0.28 * width, 0.08), (width / 2, 0.28 * width, 0.03), screen)
    foot = Part(TV, (0, top + 0.04, 0.08), (0.15, 0.04, 0.08), Look(PLAIN, 1.0, (0.04, 0.04, 0.04), (0, 0, 0)))
    return Piece(stand.width, stand.depth, [*stand.parts, panel, foot])


def cabinet_low(draw: Draws) -> Piece:
    width, depth, height = draw.between(1.0, 1.6), draw.between(0.4, 0.5), draw.between(0.4, 0.6)
    colour = _wood(draw)
    look = Look(DRAWERS, draw.between(0.3, 0.5), colour.first, _shade(colour.first, 0.35))
    part = Part(FURNITURE, (0, height / 2, 0), (width / 2, height / 2, depth / 2), look)
    return Piece(width, depth, [part], [(0.0, 0.0, width / 2, depth / 2, height)])


def clutter(draw: Draws) -> Piece:
    """Something on the floor; one in three is of no class, as much in real rooms is."""
    label = UNLABELLED if draw.chance(0.34) else OBJECTS
    size = draw.between(0.12, 0.25)
    if draw.chance(0.5):
        return Piece(2 * size, 2 * size, [Part(label, (0, size, 0), (size, size, size), _thing(draw), ball=True)])
    height = draw.between(0.1, 0.35)
    return Piece(2 * size, 2 * size, [Part(label, (0, height, 0), (size, height, size * 0.8), _thing(draw))])


def _on_top(draw: Draws, top: tuple[float, float, float, float, float]) -> list[Part]:
    """A few things on a table or cabinet: balls, boxes, a pile of books."""
    x0, z0, half_x, half_z, height = top
    parts = []
    for _ in range(1 + draw.index(3)):
        kind, size = draw.index(3), draw.between(0.06, 0.13)
        x, z = x0 + draw.between(-0.8, 0.8) * (half_x - size), z0 + draw.between(-0.8, 0.8) * (half_z - size)
        if kind == 0:
            parts.append(Part(OBJECTS, (x, height + size, z), (size, size, size), _thing(draw), ball=True))
        elif kind == 1:
            tall = draw.between(0.08, 0.2)
            parts.append(Part(OBJECTS, (x, height + tall, z), (size * 0.7, tall, size * 0.7), _thing(draw)))
        else:
            pages = Look(SPINES, 0.035, _tint(draw, 0.35, 0.5, 0.1), (float(draw.index(1000)), 1, 0))
            tall = draw.between(0.05, 0.11)
            parts.append(Part(BOOKS, (x, height + tall, z), (0.14, tall, 0.1), pages))
    return parts


# --- the room -----------------------------------------------------------------------------------------------------------------------------

_INVENTORIES: tuple[tuple[Callable[[Draws], Piece], ...], ...] = (
    (bed, cabinet, bookcase, television, chair, clutter, clutter),
    (sofa, television, table, bookcase, chair, cabinet, clutter),
    (table, chair, chair, bookcase, cabinet, sofa, clutter),
    (bed, table, chair, sofa, cabinet, clutter, bookcase),
    (sofa, table, chair, chair, television, clutter, clutter),
)
_AGAINST_WALL = frozenset({bed, sofa, cabinet, bookcase, television})
_TRIES = 12


class _Builder:
    """Collects solids; keeps the rectangles of the floor that are taken."""

    def __init__(self, size: Triple, taken: list[tuple[float, float, float, float]]) -> None:
        self.size, self.taken = size, taken
        self.boxes: list[tuple[Part, Triple, tuple[float, float]]] = []
        self.balls: list[tuple[Part, Triple]] = []

    def add(self, parts: list[Part], x: float, z: float, turn: tuple[float, float]) -> None:
        cos, sin = turn
        for part in parts:
            px, py, pz = part.centre
            centre = (x + cos * px + sin * pz, py, z + cos * pz - sin * px)
            if part.ball:
                self.balls.append((part, centre))
            else:
                self.boxes.append((part, centre, turn))

    def free(self, x: float, z: float, half_x: float, half_z: float) -> bool:
        inside = half_x <= x <= self.size[0] - half_x and half_z <= z <= self.size[2] - half_z
        return inside and all(
            abs(x - other_x) >= half_x + other_half_x or abs(z - other_z) >= half_z + other_half_z
            for other_x, other_z, other_half_x, other_half_z in self.taken
        )

    def place(self, draw: Draws, piece: Piece, against_wall: bool) -> None:
        """Puts the piece where there is room, if a few tries find any."""
        width, _, length = self.size
        for _ in range(_TRIES):
            if against_wall:
                # by its back: to the back wall, the left and the right one
                turn = draw.choice([(1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)])
                away = piece.depth / 2 + 0.02
                x, z = draw.between(0, width), draw.between(1.2, length)
                x, z = (x, length - away) if turn[0] else ((away if turn[1] < 0 else width - away), z)
            else:
                slope = draw.between(-1, 1)
                long = float(np.sqrt(1 + slope * slope))
                turn = draw.choice(
                    [(1 / long, slope / long), (-1 / long, slope / long), (slope / long, 1 / long), (slope / long, -1 / long)]
                )
                x, z = draw.between(0.3, width - 0.3), draw.between(1.3, length - 0.3)
            cos, sin = abs(turn[0]), abs(turn[1])
            half_x, half_z = (cos * piece.width + sin * piece.depth) / 2, (sin * piece.width + cos * piece.depth) / 2
            if self.free(x, z, half_x, half_z):
                self.taken.append((x, z, half_x, half_z))
                self.add(piece.parts + [part for top in piece.tops for part in _on_top(draw, top)], x, z, turn)
                return


def furnish(draw: Draws) -> Scene:
    """A room of 3 to 5.5 m, furnished, seen from eye height near its front wall."""
    size = (draw.between(3.2, 5.5), draw.between(2.3, 2.8), draw.between(3.6, 6.0))
    width, height, length = size
    x = draw.between(0.25, 0.75) * width
    camera = (x, draw.between(1.15, 1.7), draw.between(0.2, 0.6))
    builder = _Builder(size, taken=[(x, 0.5, 0.5, 0.9)])
    for make in draw.choice(_INVENTORIES):
        builder.place(draw, make(draw), make in _AGAINST_WALL)
    glow = _hang(draw, builder)

    wall, ceiling = _tint(draw, 0.5, 0.75, 0.1), _tint(draw, 0.75, 0.88, 0.03)
    ground = (
        _wood(draw) if draw.chance(0.6) else Look(CHECKER, draw.between(0.3, 0.6), _tint(draw, 0.3, 0.6, 0.06), _tint(draw, 0.4, 0.7, 0.06))
    )
    paper = Look(draw.choice([PLAIN, BLOTCHES, PLANKS]), draw.between(0.25, 0.5), wall, _shade(wall, draw.between(0.85, 1.1)))
    looks = [ground, Look(PLAIN, 1.0, ceiling, ceiling), *([paper] * 4)]
    labels = [FLOOR, CEILING, WALL, WALL, WALL, WALL]
    for part in [each[0] for each in builder.boxes] + [each[0] for each in builder.balls]:
        looks.append(part.look)
        labels.append(part.label)
    solids = Solids(
        size=np.array(size),
        centre=np.array([centre for _, centre, _ in builder.boxes]),
        half=np.array([part.half for part, _, _ in builder.boxes]),
        turn=np.array([turn for _, _, turn in builder.boxes]),
        ball=np.array([(*centre, part.half[0]) for part, centre in builder.balls]).reshape(-1, 4),
    )
    lamps: list[tuple[Triple, Colour]] = [
        ((draw.between(0.25, 0.75) * width, height - 0.15, draw.between(*span) * length), _shade((1.0, 0.93, 0.8), draw.between(0.35, 0.8)))
        for span in ((0.15, 0.4), (0.5, 0.85))
    ]
    ambient = _shade((0.9, 0.95, 1.0), draw.between(0.16, 0.32))
    target = (draw.between(0.3, 0.7) * width, draw.between(0.5, 1.1), 0.8 * length)
    return Scene(solids, labels, looks, np.array(camera), _axes(camera, target, draw.between(-0.04, 0.04)), lamps + glow, ambient)


def _hang(draw: Draws, builder: _Builder) -> list[tuple[Triple, Colour]]:
    """Pictures and windows on the three walls in view; the light that comes in by the windows."""
    width, height, length = builder.size
    lights: list[tuple[Triple, Colour]] = []
    for turn, span in (((1.0, 0.0), width), ((0.0, -1.0), length), ((0.0, 1.0), length)):
        slots = 2 if span > 4 else 1
        for slot in range(slots):
            if not draw.chance(0.75):
                continue
            along = span * (slot + draw.between(0.35, 0.65)) / slots
            if not turn[0] and along < 1.2:
                continue
            glass = draw.chance(0.45)
            half_x = min(draw.between(0.35, 0.65) if glass else draw.between(0.2, 0.45), span / slots / 2 - 0.1)
            half_y = draw.between(0.4, 0.6) if glass else draw.between(0.18, 0.35)
            up = min(draw.between(1.4, 1.75), height - 0.1 - half_y)
            if glass:
                sky = draw.between(0.75, 1.25)
                part = Part(
                    WINDOW, (0, up, 0), (half_x, half_y, 0.03), Look(PANES, 1.0, (0.8 * sky, 0.92 * sky, 1.05 * sky), (0.75, 0.73, 0.7))
                )
            else:
                picture = Look(PICTURE, draw.between(0.07, 0.16), _tint(draw, 0.2, 0.7, 0.1), (float(draw.index(1000)), 0, 0))
                part = Part(PAINTING, (0, up, 0), (half_x, half_y, 0.015), picture)
            inset = part.half[2]
            x, z = (along, length - inset) if turn[0] else ((inset if turn[1] < 0 else width - inset), along)
            builder.add([part], x, z, turn)
            if glass and not lights:
                into = (x - 0.4 * turn[1], up, z - 0.4 * turn[0])
                lights.append((into, _shade((0.75, 0.88, 1.0), draw.between(0.4, 0.9))))
    return lights


def _axes(camera: Triple, target: Triple, roll: float) -> Floats:
    """Right, up and forward of a camera that looks at ``target``, rolled by the slope ``roll``."""
    x, y, z = (t - c for t, c in zip(target, camera, strict=True))
    flat = float(np.sqrt(x * x + z * z))
    long = float(np.sqrt(x * x + y * y + z * z))
    right, up = (z / flat, 0.0, -x / flat), (-x * y / (flat * long), flat / long, -z * y / (flat * long))
    tilt = float(np.sqrt(1 + roll * roll))
    rolled = [((r + roll * u) / tilt, (u - roll * r) / tilt) for r, u in zip(right, up, strict=True)]
    return np.array([[r for r, _ in rolled], [u for _, u in rolled], [x / long, y / long, z / long]])
