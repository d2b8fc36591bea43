"""LOL: indoor scenes taken twice, in the dark and in the light."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard
from tasks.errors import TaskError
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays
from tasks.locations import Locations
from tasks.photos import TASKS
from tasks.pixels import pixels
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from tasks.base import Session

SIZE = (400, 600)
ARCHIVE = "lol_dataset.zip"
MISMATCHED = frozenset({"79.png", "111.png", "735.png"})
"""Pairs of our485 that do not show one scene (RetinexNet, issue 9)."""
SIDES = ("low", "high")


class Lol(HubProblem):
    """485 pairs for training, of which some validate, and 15 for testing, 400 x 600; 3 pairs that do not belong together are left out.

    Trained on crops of 96 x 96, evaluated on whole images, without the rescaling by the reference's mean that some papers allow themselves.
    The network is that of ``photos``, wider: Δm compares methods on it, and PSNR is not that of larger published models.
    """

    card = ProblemCard(
        name="lol",
        version=2,
        summary="LOL v1: 485 + 15 scenes of 400x600 in the dark and in the light; light, colour, structure and smoothness of one output",
        source="LOL (Wei et al., Deep Retinex Decomposition, BMVC 2018, arXiv:1808.04560), geekyrakshit/LoL-Dataset",
        licence="research",
        tasks=TASKS,
        extra_metrics=(Metric("ciede2000", low=0.0, compared=False),),
        requires=("PIL",),
        model="convolutions of 48 channels at half the resolution, the mean over the image added, no heads",
        steps=20_000,
        batch_size=16,
        learning_rate=1e-3,
    )
    source = Source(
        hub="geekyrakshit/LoL-Dataset",
        splits=("our485", "eval15"),
        columns=(Column(name="low", type="image"), Column(name="high", type="image"), Column(name="name", type="text")),
        files=(ARCHIVE,),
        layout=f"{ARCHIVE}, or the folders our485/low, our485/high, eval15/low and eval15/high with PNG files of equal names",
        rows=500,
        size=331_000_000,
        batch=16,
    )
    validation_rows = 45
    test_rows = 15

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        found = {}
        for split in self.source.splits:
            files = sorted(filter(_is_image, (folder / split).glob("*/*.png")))
            if (folder / split).is_dir() and not files:
                raise TaskError(f"{folder / split}: no PNG file in its folders low and high; expected pairs of equal names")
            if files:
                found[split] = files
        archive = folder / ARCHIVE
        return found or ({split: [archive] for split in self.source.splits} if archive.is_file() else {})

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        if files[0].name != ARCHIVE:
            sides = {path.parent.name + "/" + path.name: path for path in files}
            yield from self._pairs(str(files[0].parents[1]), sides, lambda key: sides[key].read_bytes())
            return
        try:
            with zipfile.ZipFile(files[0]) as archive:
                paths = [(name, PurePosixPath(name)) for name in archive.namelist()]
                images = [(name, path) for name, path in paths if _is_image(path) and split in path.parts[:-2]]
                inside = {f"{path.parts[-2]}/{path.name}": name for name, path in images}
                yield from self._pairs(f"{files[0]}, {split}", inside, lambda key: archive.read(inside[key]))
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # a RuntimeError is a password or a method
            raise TaskError(f"{files[0]}: not a whole zip file: {error}") from error

    def _pairs(self, place: str, files: Mapping[str, Any], read: Callable[[str], bytes]) -> Iterator[Rows]:
        """Pairs from files called ``low/NAME`` and ``high/NAME``, by name."""
        low, high = ({key.split("/")[1] for key in files if key.split("/")[0] == side} for side in SIDES)
        for side, lacking in (("high", low - high), ("low", high - low)):
            if lacking:
                raise TaskError(f"{place}: {min(lacking)} has no partner in {side}; expected every image in both low and high")
        names = sorted(low, key=lambda name: (len(name), name))
        for start in range(0, len(names), self.source.batch):
            piece = names[start : start + self.source.batch]
            images = {side: [read(f"{side}/{name}") for name in piece] for side in SIDES}
            yield Rows({**images, "name": piece}, [f"{place}, pair {name}" for name in piece].__getitem__)

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        kept = [row for row, name in enumerate(rows["name"]) if not (rows.split == "our485" and name in MISMATCHED)]
        if len(kept) < len(rows):
            excluded["the pair is known not to show one scene"] += len(rows) - len(kept)
        found = {}
        for side in SIDES:
            images = np.empty((len(kept), *SIZE, 3), np.uint8)
            for place, row in enumerate(kept):
                image = pixels(rows[side][row], "RGB", f"{rows.place(row)}, {side}")
                if image.shape[:2] != SIZE:
                    shown, expected = ("x".join(map(str, size)) for size in (image.shape[:2], SIZE))
                    raise TaskError(f"{rows.place(row)}, {side}: the image is {shown}; expected {expected}, as its partner")
                images[place] = image
            found[side] = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return found

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["low"], (cached["high"],), cached.parts)

    def network(self) -> nn.Module:
        from tasks.image_sessions import enhancer

        return enhancer(width=48)

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.image_sessions import CropSession

        return CropSession(self, seed, batch_size, device, where)


def _is_image(path: PurePath) -> bool:
    """Not what macOS puts beside every file of a folder or an archive."""
    return path.suffix == ".png" and not path.name.startswith("._")


PROBLEMS = (Lol(),)
