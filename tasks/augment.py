"""Random zoom, crop and mirror of images with all their labels, so that what is seen and what is labelled stay one scene.

As in the MTAN lineage: a scale of 1, 1.2 or 1.5 and a place, drawn for every image; the part of it that fills the frame at that scale;
half of them mirrored. Images and normals are interpolated linearly, classes and depth are taken from the nearest pixel. What is nearer
looks larger: depth is divided by the scale. In the mirror x turns round: so does the normals' x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tasks.dense import DenseTask

if TYPE_CHECKING:
    import numpy as np

    from tasks.memory import Rows

SCALES = (1.0, 1.2, 1.5)


def zoom_and_mirror(rows: Rows, tasks: Sequence[DenseTask], draws: np.random.Generator) -> Rows:
    """Images ``[B, 3, H, W]`` and stored targets ``[B, H, W]`` or ``[B, C, H, W]``; targets stay in the units that they are stored in."""
    height, width = rows[0].shape[2:]
    changed: list[list[Tensor]] = []
    for number in range(len(rows[0])):
        image, *targets = (tensor[number : number + 1] for tensor in rows)
        scale = SCALES[int(draws.integers(len(SCALES)))]
        window = int(height / scale), int(width / scale)
        top, left = (int(draws.integers(whole - part + 1)) for whole, part in zip((height, width), window, strict=True))
        image = crop(image, top, left, window, "bilinear")
        targets = [task.zoom(crop(target, top, left, window, task.mode), scale) for task, target in zip(tasks, targets, strict=True)]
        if draws.random() < 0.5:
            image = image.flip(-1)
            targets = [task.mirror(target.flip(-1)) for task, target in zip(tasks, targets, strict=True)]
        changed.append([image, *targets])
    return tuple(torch.cat(parts) for parts in zip(*changed, strict=True))


def crop(stored: Tensor, top: int, left: int, window: tuple[int, int], mode: str) -> Tensor:
    """The window ``[h, w]`` at (top, left) of ``[1, H, W]`` or ``[1, C, H, W]``, enlarged to H x W again.

    Pixels stay of their type where ``mode`` is nearest, and are float32 where it is bilinear.
    """
    part = stored[..., top : top + window[0], left : left + window[1]]
    flat = part if part.ndim == 4 else part[:, None]
    if mode == "nearest":
        larger = interpolate(flat.float(), size=stored.shape[-2:], mode="nearest").to(stored.dtype)
    else:
        larger = interpolate(flat.float(), size=stored.shape[-2:], mode=mode, align_corners=True)
    return larger.reshape(stored.shape)
