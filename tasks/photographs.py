"""The colour photographs that ship inside scikit-learn and scikit-image, cut into tiles, and a camera that takes them again in the dark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TaskError, require
from tasks.pixels import pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 32
"""Height and width of a tile in pixels."""

CONTRAST = 24
"""A tile of fewer levels between its darkest and brightest one in a hundred pixels shows nothing, and is left out."""

TRAINING = (
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/motorcycle_left.png",
    "sklearn/datasets/images/flower.jpg",
)
TEST = ("skimage/data/coffee.png", "sklearn/datasets/images/china.jpg")
"""PACKAGE/FILE in the installed packages; nothing is ever downloaded. Not among them: the rocket, which was taken in the dark already."""

PACKAGES = ("skimage", "sklearn", "PIL")


@lru_cache(maxsize=1)
def tiles() -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Every photograph on a grid of tiles that touch and never overlap, without those that show nothing.

    sRGB ``[N, 3, SIDE, SIDE]`` by photograph, each from left to right and from top to bottom; and how many are of photographs for training
    and how many of those for testing, which come last.

    Raises:
        MissingDependency: a package that ships photographs, or the one that decodes them, is not installed.
        TaskError: a photograph is not in its package, or does not decode.
    """
    import numpy as np

    require(PACKAGES, "the photographs")
    training, test = (np.concatenate([_tile(photograph(name)) for name in names]) for names in (TRAINING, TEST))
    return np.concatenate([training, test]), (len(training), len(test))


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    rows, columns = image.shape[0] // SIDE, image.shape[1] // SIDE
    grid = image[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    cut = np.ascontiguousarray(grid.transpose(0, 2, 4, 1, 3).reshape(rows * columns, 3, SIDE, SIDE))
    ordered = np.sort(cut.astype(np.int64).sum(axis=1).reshape(len(cut), -1), axis=1)  # of the sum of the three channels
    ignored = SIDE * SIDE // 100
    shows: NDArray[np.bool_] = ordered[:, -1 - ignored] - ordered[:, ignored] >= 3 * CONTRAST
    return cut[shows]


def photograph(name: str) -> NDArray[np.uint8]:
    """sRGB ``[H, W, 3]``. PNG has one decoding; that of JPEG may differ by a level between versions of libjpeg, and fingerprints tell."""
    package, _, inside = name.partition("/")
    spec = find_spec(package)
    assert spec is not None, "required by the caller"
    assert spec.origin is not None, "a package with a file"
    path = Path(spec.origin).parent / inside
    try:
        return pixels(path.read_bytes(), "RGB", str(path))
    except OSError as error:
        raise TaskError(f"photograph {path}: {error.strerror}; expected it in the installed {package} (reinstall it)") from error


@dataclass(frozen=True, slots=True)
class Camera:
    """A sensor in the dark; pairs are ranges from which every tile draws its own value uniformly.

    Attributes:
        stops: k: 2^-k of the light reaches the sensor.
        cast: red and blue are exposed 2^c times as long as green, each with a c between minus and plus this.
        gamma: of the encoding of what was measured, v^(1/gamma); that of sRGB is about 2.2.
        photons: electrons of a white pixel in full light, drawn as their logarithm to base 2.
        read: standard deviation of the noise of reading the sensor, in electrons.
    """

    stops: tuple[float, float]
    cast: float
    gamma: tuple[float, float]
    photons: tuple[float, float]
    read: float

    def expose(self, reference: NDArray[np.uint8], draws: np.random.Generator) -> NDArray[np.uint8]:
        """The same tiles ``[N, 3, H, W]`` taken in the dark.

        sRGB levels are made linear, exposed, counted with Poisson noise, read with Gaussian noise, and encoded with 8 bits. Every
        machine that draws the same numbers gets the same levels, but for a measurement that lies within rounding of the edge between two.
        """
        import numpy as np

        count = len(reference)
        light = 2.0 ** -draws.uniform(*self.stops, count)
        cast = 2.0 ** draws.uniform(-self.cast, self.cast, (count, 3))
        cast[:, 1] = 1.0
        gamma = draws.uniform(*self.gamma, count)
        photons = 2.0 ** draws.uniform(*self.photons, count)
        white = (photons * light)[:, None] * cast
        electrons = draws.poisson(linear(reference) * white[:, :, None, None]) + draws.normal(0.0, self.read, reference.shape)
        measured = np.clip(electrons / photons[:, None, None, None], 0, 1)
        return np.rint(255 * measured ** (1 / gamma)[:, None, None, None]).astype(np.uint8)


def linear(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Light in [0, 1] from sRGB levels (IEC 61966-2-1)."""
    import numpy as np

    v = np.arange(256) / 255
    table: NDArray[Any] = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return table[levels]
