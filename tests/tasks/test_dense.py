"""Losses and metrics of labels for every pixel against scikit-learn and plain numpy, on random tensors with masks; augmentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score, log_loss
from torch import Tensor

from tasks.augment import SCALES, crop, zoom_and_mirror
from tasks.dense import BINS_A_DEGREE, DenseMeter, Depth, Normals, Segmentation, direction
from tasks.errors import TaskError

CLASSES = 5
ASKED = {"segmentation": Segmentation(CLASSES), "depth": Depth(0.001), "normals": Normals(1 / 32767)}


def random(images: int = 7, seed: int = 0, size: tuple[int, int] = (6, 9)) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Outputs and stored rows, a third of the labels missing; class 3 is never there."""
    draws = np.random.default_rng(seed)
    shape = (images, *size)
    missing = [draws.random(shape) < 0.33 for _ in range(3)]
    label = np.where(missing[0], -1, draws.choice([0, 1, 2, 4], shape)).astype(np.int8)
    depth = np.where(missing[1], 0, draws.integers(300, 7000, shape)).astype(np.int16)
    vectors = draws.normal(size=(images, 3, *size))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    normal = np.where(missing[2][:, None], 0, np.rint(unit * 32767)).astype(np.int16)
    outputs = [draws.normal(size=(images, channels, *size)) for channels in (CLASSES, 1, 3)]
    outputs[1] += 3
    outputs[2] += 2 * unit
    return [torch.tensor(output, dtype=torch.float32) for output in outputs], tuple(
        map(torch.tensor, (np.zeros(shape), label, depth, normal))
    )


def measure(
    outputs: list[Tensor], rows: tuple[Tensor, ...], chunk: int, per_batch: int | None = None
) -> tuple[tuple[float, ...], dict[str, float]]:
    meter = DenseMeter(ASKED, per_batch)
    for start in range(0, len(rows[0]), chunk):
        meter.update([output[start : start + chunk] for output in outputs], tuple(row[start : start + chunk] for row in rows))
    found = meter.compute()
    return found.losses, found.metrics


@pytest.mark.parametrize("seed", range(3))
def test_segmentation_is_that_of_scikit_learn(seed: int) -> None:
    outputs, rows = random(seed=seed)
    losses, metrics = measure(outputs, rows, chunk=3)
    label = rows[1].numpy().ravel()
    there = label != -1
    probability = outputs[0].double().softmax(1).permute(0, 2, 3, 1).reshape(-1, CLASSES).numpy()[there]
    said = outputs[0].argmax(1).numpy().ravel()[there]
    counts = confusion_matrix(label[there], said, labels=range(CLASSES))
    assert losses[0] == pytest.approx(log_loss(label[there], probability, labels=range(CLASSES)), rel=1e-6)
    assert metrics["segmentation/pixel_accuracy"] == pytest.approx(counts.trace() / counts.sum())
    present = sorted({*label[there].tolist(), *said.tolist()})
    assert metrics["segmentation/miou"] == pytest.approx(jaccard_score(label[there], said, labels=present, average="macro"))


def test_a_class_that_is_nowhere_is_left_out_of_the_mean() -> None:
    outputs, rows = random()
    outputs[0][:, 3] = -100
    label = rows[1].numpy().ravel()
    said = outputs[0].argmax(1).numpy().ravel()[label != -1]
    expected = jaccard_score(label[label != -1], said, labels=[0, 1, 2, 4], average="macro")
    assert measure(outputs, rows, 7)[1]["segmentation/miou"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_depth_and_normals_are_those_of_numpy(seed: int) -> None:
    outputs, rows = random(seed=seed)
    losses, metrics = measure(outputs, rows, chunk=2)
    depth = rows[2].numpy() / 1000
    error = np.abs(outputs[1][:, 0].numpy() - depth)[depth > 0]
    assert losses[1] == metrics["depth/abs_err"] == pytest.approx(error.mean(), rel=1e-5)
    assert metrics["depth/rel_err"] == pytest.approx((error / depth[depth > 0]).mean(), rel=1e-5)

    normal = rows[3].numpy().astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 3)
    there = normal.any(1)
    said = outputs[2].double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()[there]
    cosine = (said * normal[there]).sum(1) / np.linalg.norm(said, axis=1) / np.linalg.norm(normal[there], axis=1)
    angle = np.degrees(np.arccos(cosine))
    assert losses[2] == pytest.approx(1 - cosine.mean(), abs=1e-4)
    assert metrics["normals/mean"] == pytest.approx(angle.mean(), rel=1e-5)
    for limit in (11.25, 22.5, 30):
        assert metrics[f"normals/within_{limit:g}"] == pytest.approx((angle < limit).mean(), abs=1e-12)
    lower = np.sort(angle)[(len(angle) - 1) // 2]  # torch's median, as papers take it
    assert abs(metrics["normals/median"] - lower) <= 0.5 / BINS_A_DEGREE + 1e-6


def test_a_split_is_the_same_however_it_is_cut() -> None:
    outputs, rows = random(images=11)
    whole = measure(outputs, rows, chunk=11, per_batch=2)
    for chunk in (2, 4, 6):
        assert measure(outputs, rows, chunk, per_batch=2) == whole


def test_training_losses_are_the_measured_ones() -> None:
    outputs, rows = random()
    measured = measure(outputs, rows, chunk=7)[0]
    for (_, task), output, stored, expected in zip(ASKED.items(), outputs, rows[1:], measured, strict=True):
        assert float(task.loss(output, task.decode(stored))) == pytest.approx(expected, rel=1e-5)


def test_the_papers_metrics_are_means_over_batches_of_two() -> None:
    outputs, rows = random(images=6)
    rows[2][:2, :2] = 0  # unequally many labels: the mean of means is another number
    rows[3][:2, :, :3] = 0
    metrics = measure(outputs, rows, chunk=6, per_batch=2)[1]
    each = [measure([o[i : i + 2] for o in outputs], tuple(r[i : i + 2] for r in rows), 2)[1] for i in (0, 2, 4)]
    names = [key.removesuffix("_per_batch") for key in metrics if key.endswith("_per_batch")]
    assert len(names) == 7
    for name in names:
        task, _, metric = name.partition("_")
        assert metrics[f"{name}_per_batch"] == pytest.approx(np.mean([one[f"{task}/{metric}"] for one in each]))
    assert metrics["depth_abs_err_per_batch"] != pytest.approx(metrics["depth/abs_err"], rel=1e-3)


def test_a_batch_without_labels_is_left_out_of_the_mean_over_batches() -> None:
    outputs, rows = random(images=4)
    rows[2][:2] = 0
    metrics = measure(outputs, rows, chunk=4, per_batch=2)[1]
    assert metrics["depth_abs_err_per_batch"] == pytest.approx(metrics["depth/abs_err"])


@pytest.mark.parametrize("blind", range(3))
def test_a_split_without_one_label_is_an_error(blind: int) -> None:
    outputs, rows = random()
    rows[1 + blind].fill_(-1 if blind == 0 else 0)
    with pytest.raises(TaskError, match=f"no pixel of a held-out split has a label of '{list(ASKED)[blind]}'"):
        measure(outputs, rows, chunk=7)


@pytest.mark.parametrize("name", list(ASKED))
def test_without_a_label_a_loss_is_nothing_and_moves_nothing(name: str) -> None:
    task, index = ASKED[name], list(ASKED).index(name)
    outputs, rows = random()
    output = outputs[index].requires_grad_()
    loss = task.loss(output, task.decode(torch.full_like(rows[1 + index], -1 if index == 0 else 0)))
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, output)
    assert torch.equal(gradient, torch.zeros_like(output))


@pytest.mark.parametrize("name", list(ASKED))
def test_unlabelled_pixels_have_no_gradient(name: str) -> None:
    task, index = ASKED[name], list(ASKED).index(name)
    outputs, rows = random()
    output, target = outputs[index].requires_grad_(), task.decode(rows[1 + index])
    (gradient,) = torch.autograd.grad(task.loss(output, target), output)
    there = task.valid(target).reshape(len(output), *output.shape[2:])
    assert torch.equal((gradient != 0).any(1), there)


def test_normals_at_a_zero_output_cost_one_and_have_finite_gradients() -> None:
    outputs, rows = random()
    zero = torch.zeros_like(outputs[2]).requires_grad_()
    loss = ASKED["normals"].loss(zero, ASKED["normals"].decode(rows[3]))
    assert float(loss.detach()) == pytest.approx(1)
    assert torch.autograd.grad(loss, zero)[0].isfinite().all()
    assert torch.equal(direction(zero), zero)


# --- augmentation -------------------------------------------------------------------------------------------------------------------------

H, W = 40, 60


def plane(slope: tuple[float, float] = (0.3, 0.2)) -> tuple[Tensor, ...]:
    """A slanted plane z = 1 / (0.5 + a u + b v) in view of a camera of focal length 1: image = u, v, 0; one normal everywhere."""
    v, u = np.mgrid[0:H, 0:W].astype(np.float64)
    u, v = (u + 0.5) / W - 0.5, 0.5 - (v + 0.5) / H
    depth = 1 / (0.5 + slope[0] * u + slope[1] * v)
    normal = np.array([slope[0], slope[1], 0.5]) / math.hypot(*slope, 0.5)
    image = np.stack([u, v, 0 * u])
    label = (u > 0).astype(np.int64) + 2 * (v > 0)
    vectors = np.broadcast_to(normal[:, None, None], (3, H, W)).copy()
    return tuple(torch.tensor(each)[None].float() for each in (image, label, depth[None], vectors))


@pytest.mark.parametrize("seed", range(12))
def test_labels_follow_the_image(seed: int) -> None:
    """The image carries its own coordinates: depth, class and normal of every pixel are those of where it came from."""
    rows = plane()
    label = rows[1].to(torch.int8)
    changed = zoom_and_mirror((rows[0], label, *rows[2:]), (Segmentation(4), Depth(), Normals()), np.random.default_rng(seed))
    assert [each.shape for each in changed] == [each.shape for each in rows]
    assert changed[1].dtype == torch.int8
    u, v = changed[0][0, 0].numpy(), changed[0][0, 1].numpy()
    across = u[:, 1:] - u[:, :-1]
    mirrored = bool((across < 0).all())
    assert mirrored or (across > 0).all()
    scale = min(SCALES, key=lambda s: abs(s - 1 / (np.abs(across).mean() * W)))
    assert np.abs(across).mean() * W == pytest.approx(1 / scale, rel=0.05)
    expected = 1 / (0.5 + 0.3 * u + 0.2 * v) / scale
    assert np.abs(changed[2][0, 0].numpy() / expected - 1).max() < 0.02  # the nearest pixel is less than one away
    far = (np.abs(u) > 1.5 / W) & (np.abs(v) > 1.5 / H)
    assert np.array_equal(changed[1][0].numpy()[far], ((u > 0) + 2 * (v > 0))[far])
    sign = -1 if mirrored else 1
    assert torch.allclose(changed[3][0] * torch.tensor([sign, 1, 1])[:, None, None], rows[3][0], atol=1e-6)
    # lateral extents are kept: X = u' z' with the picture's own coordinates u' is that of the scene, up to where the crop lies
    z = changed[2][0, 0].numpy()
    assert np.allclose(z * scale * np.abs(across).mean() * W, z, rtol=0.05)


def test_all_scales_and_both_sides_are_drawn() -> None:
    rows, seen = plane(), set()
    for seed in range(40):
        u = zoom_and_mirror(rows, (Segmentation(4), Depth(), Normals()), np.random.default_rng(seed))[0][0, 0]
        step = float(u[0, 1] - u[0, 0])
        seen.add((round(1 / abs(step * W), 1), step > 0))
    assert seen == {(scale, side) for scale in SCALES for side in (True, False)}


def test_inverse_depth_grows_with_the_scale_and_missing_stays_missing() -> None:
    stored = torch.tensor([0.0, 0.5])
    assert Depth(inverse=True).zoom(stored, 1.5).tolist() == [0, 0.75]
    assert Depth().zoom(stored, 2.0).tolist() == [0, 0.25]


def test_crops_of_integers_stay_what_they_were() -> None:
    label = torch.arange(24, dtype=torch.int8).reshape(1, 4, 6)
    assert torch.equal(crop(label, 0, 0, (4, 6), "nearest"), label)
    assert set(crop(label, 1, 2, (2, 3), "nearest").unique().tolist()) == {8, 9, 10, 14, 15, 16}
