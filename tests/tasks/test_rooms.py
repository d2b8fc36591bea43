"""The ray-cast rooms: geometry against itself, a sensor's faults, the same bytes everywhere, and constants as measured."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

import tasks
from tasks import decoded, rooms
from tasks.dense_session import DenseSession
from tasks.locations import Locations
from tasks.memory import Held
from tasks.rooms.draws import Draws, lattice
from tasks.rooms.furnish import BED, BOOKS, CEILING, CLASSES, FLOOR, SOFA, TABLE, WALL, furnish
from tasks.rooms.raycast import Solids, cast, reaches
from tasks.rooms.render import View, pinhole

SIZE = (96, 128)


@lru_cache(maxsize=1)
def views() -> list[View]:
    return [rooms.scene(number, *SIZE) for number in range(12)]


def session(seed: int = 0, batch_size: int = 8) -> DenseSession:
    opened = tasks.problem("rooms").open(seed, batch_size)
    assert isinstance(opened, DenseSession)
    return opened


def test_every_machine_sees_the_same_bytes() -> None:
    """Only exactly rounded operations and raw bits are used; a platform or numpy for which that does not hold fails here."""
    view = rooms.scene(0, 24, 32)
    found = {
        name: hashlib.blake2b(getattr(view, name).tobytes(), digest_size=8).hexdigest() for name in ("rgb", "label", "depth", "normal")
    }
    assert found == {"rgb": "c383936879748b16", "label": "f4d1e501dc7c6052", "depth": "5fbc30af37dbd61a", "normal": "566c04f74747be9c"}


def test_a_scene_is_its_number() -> None:
    one, again, other = (rooms.scene(number, 24, 32) for number in (3, 3, 4))
    assert np.array_equal(one.rgb, again.rgb)
    assert np.array_equal(one.normal, again.normal)
    assert not np.array_equal(one.label, other.label)


def test_draws_are_uniform_and_noise_is_standard() -> None:
    draw = Draws("test")
    uniform, noise = draw.many(40_000), draw.noise(40_000)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    cells = lattice(np.arange(-200, 200)[:, None], np.arange(100)[None], salt=np.full((400, 100), 7))
    assert abs(cells.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(cells[:-1].ravel(), cells[1:].ravel())[0, 1]) < 0.02
    assert len(np.unique(cells)) > 39_000


def test_normals_are_those_of_the_depth() -> None:
    """Back-project the depth, take the cross product of its differences: inside of things that is the normal."""
    right, up = pinhole(*SIZE)
    errors = []
    for view in views():
        depth = view.depth / 1000
        point = np.stack([right * depth, up * depth, -depth])
        across = point[:, 1:-1, 2:] - point[:, 1:-1, :-2]
        upwards = point[:, :-2, 1:-1] - point[:, 2:, 1:-1]
        estimate = np.cross(across, upwards, axis=0)
        length = np.linalg.norm(estimate, axis=0)
        normal = view.normal[:, 1:-1, 1:-1] / 32767
        there = (normal != 0).any(0) & (length > 0)
        for rows, columns in (
            (slice(0, -2), slice(1, -1)),
            (slice(2, None), slice(1, -1)),
            (slice(1, -1), slice(0, -2)),
            (slice(1, -1), slice(2, None)),
        ):
            there &= (view.depth[rows, columns] > 0) & (np.abs(view.normal[:, rows, columns] - view.normal[:, 1:-1, 1:-1]).max(0) < 300)
        cosine = (estimate * normal).sum(0)[there] / length[there]
        errors.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    error = np.concatenate(errors)
    assert len(error) > 0.5 * len(views()) * SIZE[0] * SIZE[1]
    assert np.median(error) < 1
    assert np.quantile(error, 0.9) < 5


def test_faces_point_where_their_class_does() -> None:
    tilts: dict[int, list[float]] = {label: [] for label in (FLOOR, CEILING, WALL)}
    for number, view in enumerate(views()):
        axes = furnish(Draws("rooms", number)).axes
        up = np.array([axes[0, 1], axes[1, 1], -axes[2, 1]])  # the world's vertical, in the camera's axes
        vertical = np.tensordot(up, view.normal / 32767, 1)
        there = (view.normal != 0).any(0)
        for label, found in tilts.items():
            found += vertical[there & (view.label == label)].tolist()
    assert np.allclose(tilts[FLOOR], 1, atol=1e-3)
    assert np.allclose(tilts[CEILING], -1, atol=1e-3)
    assert np.allclose(tilts[WALL], 0, atol=1e-3)
    assert all(tilts.values())


def test_normals_have_length_one_and_face_the_camera() -> None:
    right, up = pinhole(*SIZE)
    for view in views():
        normal = view.normal / 32767
        there = (view.normal != 0).any(0)
        assert np.allclose(np.linalg.norm(normal, axis=0)[there], 1, atol=1e-4)
        assert ((normal * np.stack([-right, -up, np.ones(SIZE)])).sum(0)[there] > 0).all()


def test_what_is_missing_is_what_a_sensor_loses() -> None:
    for view in views():
        lost = view.depth == 0
        assert 0.01 < lost.mean() < 0.4
        assert (view.depth >= 0).all()
        assert view.depth[~lost].min() > 200
        assert view.depth.max() <= 6500
        assert not (view.normal != 0).any(0)[lost].any()  # normals come from depth
        assert view.label.min() >= -1
        assert view.label.max() < len(CLASSES)
        assert (view.label == -1).mean() < 0.3
    assert any((view.label == -1).any() for view in views())


def test_rooms_are_furnished() -> None:
    counts = np.bincount(np.concatenate([view.label[view.label >= 0] for view in views()]), minlength=len(CLASSES))
    assert all(counts[label] > 0 for label in (BED, BOOKS, CEILING, FLOOR, SOFA, TABLE, WALL))
    assert (counts > 0).sum() >= 12
    for number in range(40):
        solids = furnish(Draws("rooms", number)).solids
        assert (solids.centre > -0.01).all()
        assert (solids.centre < solids.size + 0.01).all()


def box(turn: tuple[float, float]) -> Solids:
    return Solids(
        np.array([4.0, 3.0, 5.0]),
        np.array([[2.0, 1.0, 3.0]]),
        np.array([[0.5, 0.5, 0.25]]),
        np.array([turn]),
        np.array([[1.0, 1.0, 4.0, 0.5]]),
    )


@pytest.mark.parametrize(("turn", "distance"), [((1.0, 0.0), 1.75), ((0.0, 1.0), 1.5), ((0.6, 0.8), 2 - 0.25 / 0.6)])
def test_a_ray_meets_a_turned_box_where_it_should(turn: tuple[float, float], distance: float) -> None:
    """A slab of half depth h, whose normal is at an angle with cosine c to the ray, is met h / c before its centre."""
    one, ray = np.ones(1), np.zeros(1)
    hits = cast(box(turn), (2 * one, one, one), (ray, ray, one))
    assert hits.distance[0] == pytest.approx(distance)
    assert hits.surface.tolist() == [6]
    assert hits.normal[2][0] < 0
    assert sum(float(part[0]) ** 2 for part in hits.normal) == pytest.approx(1)


def test_rays_meet_balls_and_walls_and_shadows_fall() -> None:
    one, ray = np.ones(1), np.zeros(1)
    solids = box((1.0, 0.0))
    ball = cast(solids, (one, one, one), (ray, ray, one))
    assert (ball.distance[0], ball.surface[0]) == (pytest.approx(2.5), 7)
    wall = cast(solids, (3 * one, one, one), (ray, ray, one))
    assert (wall.distance[0], wall.surface[0]) == (pytest.approx(4), 5)
    floor = cast(solids, (3 * one, one, one), (ray, -one, ray))
    assert (floor.distance[0], floor.surface[0], floor.normal[1][0]) == (pytest.approx(1), 0, 1)
    start = (np.array([2.0, 3.0]), np.array([1.0, 2.8]), np.ones(2))
    assert reaches(solids, start, (2 * one, one, 4.5 * one)).tolist() == [False, True]


# --- the problem --------------------------------------------------------------------------------------------------------------------------


def test_rendered_once_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "SCENES", 3)
    monkeypatch.setattr(rooms, "HEIGHT", 16)
    monkeypatch.setattr(rooms, "WIDTH", 24)
    calls = []
    render = rooms.scene
    monkeypatch.setattr(rooms, "scene", lambda *of: calls.append(of) or render(*of))
    rooms._fingerprint.cache_clear()
    try:
        seen: list[tuple[str, int, int | None]] = []
        said = rooms.Rooms().prepare(Locations(cache=str(tmp_path)), lambda *of: seen.append(of))
        assert said.startswith("3 scenes; ")
        assert seen[-1] == ("rooms", 3, 3)
        folder, manifest = rooms._rendered(str(tmp_path), lambda *of: None)
        assert len(calls) == 3
        arrays = decoded.arrays(folder, manifest)
        assert np.array_equal(arrays["normal"][2], render(2, 16, 24).normal)
        assert {name: array.dtype.name for name, array in arrays.items()} == {
            "rgb": "uint8",
            "label": "int8",
            "depth": "int16",
            "normal": "int16",
        }
        assert rooms._fingerprint() in folder.name
    finally:
        rooms._fingerprint.cache_clear()


def test_the_fingerprint_is_of_parameters_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for name, value in ((None, 0), ("VERSION", 2), ("SCENES", 601), ("HEIGHT", 50), ("WIDTH", 66)):
        with monkeypatch.context() as changed:
            if name:
                changed.setattr(rooms, name, value)
            rooms._fingerprint.cache_clear()
            found.add(rooms._fingerprint())
    rooms._fingerprint.cache_clear()
    assert len(found) == 5


def measured(of: DenseSession, say: Callable[[torch.Tensor, int, float], torch.Tensor]) -> tuple[float, ...]:
    """Losses of the training rows for outputs that ``say`` makes of zeros ``[B, C, H, W]``."""
    meter, train = of.meter(), of._train
    for start in range(0, len(train), 64):
        rows = train.slice(start, start + 64)
        blank = [torch.zeros(len(rows[0]), channels, *rows[0].shape[2:]) for channels in (13, 1, 3)]
        meter.update([say(zeros, index, 0) for index, zeros in enumerate(blank)], rows)
    return meter.compute().losses


def test_initial_losses_are_those_of_a_zero_output() -> None:
    of = session()
    found = measured(of, lambda zeros, index, _: zeros)
    assert found == pytest.approx(of.initial_losses, rel=1e-5)
    assert of.initial_losses[0] == pytest.approx(math.log(13))
    assert of.initial_losses[2] == 1


def test_prior_losses_are_those_of_the_best_constant_output() -> None:
    of = session()
    rows = of._train.slice(0, len(of._train))
    label, depth, normal = (tensor.numpy() for tensor in rows[1:])
    frequency = np.bincount(label[label >= 0], minlength=13) / (label >= 0).sum()
    mean = normal.sum((0, 2, 3), dtype=np.int64) / 32767
    best = [torch.tensor(np.log(frequency)), torch.tensor([np.median(depth[depth > 0]) / 1000]), torch.tensor(mean / np.linalg.norm(mean))]
    constant = measured(of, lambda zeros, index, _: zeros + best[index].float()[None, :, None, None])
    assert constant == pytest.approx(of.prior_losses, rel=1e-4)
    for shift in (-0.05, 0.05):  # and no other constant near it is better
        moved = [best[0] + shift * torch.eye(13)[0], best[1] + shift, best[2] + shift * torch.tensor([0.7, -0.7, 0.1])]
        worse = measured(of, lambda zeros, index, _, moved=moved: zeros + moved[index].float()[None, :, None, None])
        assert all(other > one for other, one in zip(worse, constant, strict=True))


def test_a_short_training_beats_the_best_constant() -> None:
    of = session()
    optimizer = torch.optim.Adam(of.model.parameters(), lr=3e-3)
    for step in range(40):
        losses, _ = of.losses(of.batch(step))
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    assert all(loss < prior for loss, prior in zip(of.evaluate("validation").losses, of.prior_losses, strict=True))


def test_a_batch_without_a_label_costs_nothing_and_is_counted() -> None:
    of = session()
    rows = of._train.take(torch.arange(400))
    blind = (rows[0], torch.full_like(rows[1], -1), torch.zeros_like(rows[2]), torch.zeros_like(rows[3]))
    of._train = Held(blind)
    losses, _ = of.losses(of.batch(0))
    assert [loss.item() for loss in losses] == [0, 0, 0]
    assert of.events == {"unlabelled_segmentation": 1, "unlabelled_depth": 1, "unlabelled_normals": 1}
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(of.shared()), retain_graph=True)
        assert all((gradient == 0).all() for gradient in gradients)
    of._train = Held((*rows[:2], blind[2], rows[3]))
    for step, stream in ((1, 0), (1, 0), (1, 1), (0, 0)):  # what is looked at again is not counted again
        of.losses(of.batch(step, stream))
    assert of.events == {"unlabelled_segmentation": 1, "unlabelled_depth": 3, "unlabelled_normals": 1}


def test_pictures_show_what_is_measured() -> None:
    of = session()
    shown = of.gallery("test", 2)
    assert [[panel.title for panel in row] for row in shown] == [
        ["image", "segmentation", "segmentation, said", "depth", "depth, said", "normals", "normals, said"]
    ] * 2
    rows = of._test.slice(0, 2)
    for number, (image, label, _, depth, *_rest) in enumerate(shown):
        assert image.pixels.shape == (48, 64, 3)
        assert image.pixels.min() >= 0
        assert image.pixels.max() <= 1
        assert np.array_equal(label.pixels, rows[1][number].numpy())
        assert np.array_equal(np.isnan(depth.pixels), rows[2][number].numpy() == 0)
