"""A tiny copy of LOL in its authors' layout: whole images, few of them, with one of the pairs that are known to be wrong."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = {"our485": ("2.png", "5.png", "79.png", "12.png"), "eval15": ("1.png", "22.png")}
PAIRS = 5
"""What is left of them."""


def images(shape: tuple[int, int] = (400, 600)) -> dict[str, bytes]:
    """Files by their path, in no particular order: soft colours, and the same at a sixth of their levels with noise."""
    draws, found = np.random.default_rng(0), {}
    for split, names in NAMES.items():
        for name in names:
            coarse = draws.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            high = np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BILINEAR))
            low = (high / 6 + draws.integers(0, 3, high.shape)).astype(np.uint8)
            found |= {f"{split}/{side}/{name}": encoded(pixels) for side, pixels in (("low", low), ("high", high))}
    return found


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def as_folders(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def as_archive(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "lol_dataset.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"lol_dataset/{name}", content)
    return folder
