"""Ray-cast indoor scenes with the labels of NYUv2: 13 classes, depth and surface normals of every pixel.

Nothing is downloaded: the scenes are drawn, furnished and rendered here (``furnish``, ``raycast``, ``render``), once, in some ten seconds,
and then memory-mapped from the cache. Every number on the way is the result of + - * /, square roots, comparisons and roundings, in an
order that is written out, and of PCG64's raw bits, which numpy keeps as they are: so all machines see the same bytes, and a test compares
a scene with its checksum. The fingerprint that trials carry is therefore one of the parameters, the version and the first draws, and needs
no rendering.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import decoded
from tasks.base import ProblemCard, Report, silent
from tasks.dense_card import depth, normals, segmentation
from tasks.inmemory import Arrays, InMemoryProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from tasks.base import Session
    from tasks.encoder_decoder import EncoderDecoder
    from tasks.rooms.render import View

HEIGHT, WIDTH, SCENES = 48, 64, 600
VERSION = 1
"""Of the scenes: grows whenever a pixel would be another."""


class Rooms(InMemoryProblem):
    """600 rooms of 48 x 64 pixels: 400 to train on, 80 for selection, 120 to test on."""

    card = ProblemCard(
        name="rooms",
        version=1,
        summary="ray-cast rooms of 48x64 pixels in NYUv2's layout: 13 classes, depth and surface normals, with a depth sensor's faults",
        source="generated here",
        licence="MIT",
        tasks=(segmentation(13), depth("in metres"), normals()),
        steps=250,
        batch_size=8,
        learning_rate=3e-3,
    )
    validation_rows = 80
    test_rows = 120

    def arrays(self, where: Locations) -> Arrays:
        return _load(where.cache)

    def fingerprint(self, where: Locations | None = None) -> str:
        return _fingerprint()

    def prepare(self, where: Locations | None = None, report: Report = silent) -> str:
        folder, manifest = _rendered((where or Locations()).cache, report)
        return f"{SCENES} scenes; {manifest.size / 1e6:.1f} MB in {folder}"

    def network(self) -> EncoderDecoder:
        from tasks.encoder_decoder import EncoderDecoder

        return EncoderDecoder((16, 32, 48), (13, 1, 3))

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.dense import Depth, Normals, Segmentation
        from tasks.dense_session import DenseSession
        from tasks.rooms.render import MILLIMETRES, UNITS

        return DenseSession(self, (Segmentation(13), Depth(1 / MILLIMETRES), Normals(1 / UNITS)), seed, batch_size, device, where)


@lru_cache(maxsize=1)
def _fingerprint() -> str:
    from tasks.rooms.draws import Draws

    draws = b"".join(Draws("rooms", number).many(8).tobytes() for number in range(SCENES))
    return hashlib.blake2b(f"rooms {VERSION} {SCENES} {HEIGHT} {WIDTH} ".encode() + draws, digest_size=10).hexdigest()


@lru_cache(maxsize=1)
def _load(cache: str) -> Arrays:
    arrays = decoded.arrays(*_rendered(cache, silent))
    return Arrays(arrays["rgb"], (arrays["label"], arrays["depth"], arrays["normal"]))


def _rendered(cache: str, report: Report) -> tuple[Path, decoded.Manifest]:
    folder = Path(cache) / f"rooms-{_fingerprint()}"
    manifest = decoded.lookup(folder)
    if manifest is None:
        identity = {"generated": {"version": VERSION, "scenes": SCENES, "height": HEIGHT, "width": WIDTH}}
        manifest = decoded.write(folder, "rooms", VERSION, identity, {}, lambda: _chunks(report))
    return folder, manifest


def _chunks(report: Report) -> Iterator[decoded.Chunk]:
    for number in range(SCENES):
        report("rooms", number, SCENES)
        view = scene(number, HEIGHT, WIDTH)
        yield "all", {"rgb": view.rgb[None], "label": view.label[None], "depth": view.depth[None], "normal": view.normal[None]}
    report("rooms", SCENES, SCENES)


def scene(number: int, height: int, width: int) -> View:
    """Scene ``number`` (0, 1, ...), whatever its size or how many others there are."""
    from tasks.rooms.draws import Draws
    from tasks.rooms.furnish import furnish
    from tasks.rooms.render import render

    draw = Draws("rooms", number)
    return render(furnish(draw), height, width, draw)


PROBLEMS = (Rooms(),)
