"""Photographs in the dark: what is cut, what the camera does, what is held out, constants, evaluation and pictures."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import tasks
from tasks import constant_images, photographs
from tasks.base import Split
from tasks.image_losses import colour, illumination, smoothness, structure
from tasks.image_sessions import TERMS, Enhancer, ImageSession
from tasks.locations import Locations
from tasks.photographs import SIDE, TEST, TRAINING, Camera, linear, photograph, tiles
from tasks.photos import TilesProblem

NAMES = ["photos", "curves"]
ALL = 10**9


def known(name: str) -> TilesProblem:
    problem = tasks.problem(name)
    assert isinstance(problem, TilesProblem)
    return problem


def opened(name: str, seed: int = 0, batch_size: int = 16) -> ImageSession:
    session = known(name).open(seed, batch_size)
    assert isinstance(session, ImageSession)
    return session


# --- photographs --------------------------------------------------------------------------------------------------------------------------


def places(pixels: np.ndarray, name: str) -> list[tuple[int, int]]:
    """The corners in a photograph of those tiles that are of it, found by looking for their pixels."""
    image = photograph(name)
    grid = {
        image[y : y + SIDE, x : x + SIDE].transpose(2, 0, 1).tobytes(): (y, x)
        for y in range(0, image.shape[0] - SIDE + 1, SIDE)
        for x in range(0, image.shape[1] - SIDE + 1, SIDE)
    }
    return [grid[tile.tobytes()] for tile in pixels if tile.tobytes() in grid]


def test_tiles_are_of_the_photographs_and_share_no_pixel() -> None:
    pixels, (training, test) = tiles()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (training + test, 3, SIDE, SIDE)
    assert not set(TRAINING) & set(TEST)
    for names, cut in ((TRAINING, pixels[:training]), (TEST, pixels[training:])):
        found = [(name, place) for name in names for place in places(cut, name)]
        assert len(found) == len(set(found)) == len(cut)  # each at a place of its own, on a grid: none overlaps another


@pytest.mark.parametrize("name", NAMES)
def test_no_pixel_is_in_two_splits(name: str) -> None:
    problem = known(name)
    arrays = problem.arrays(Locations())
    training, test = arrays.parts
    cuts = [problem.cut(arrays, seed) for seed in range(3)]
    for cut in cuts:
        assert sorted([*cut.train, *cut.validation]) == list(range(training))  # tiles, which do not overlap
        assert cut.test.tolist() == list(range(training, training + test))  # of other photographs
        assert len(cut.validation) == problem.validation_rows
    assert not np.array_equal(np.sort(cuts[0].validation), np.sort(cuts[1].validation))


def test_a_missing_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tasks.TaskError, match=r"skimage/data/nothing.png: No such file .*; expected it in the installed skimage"):
        photograph("skimage/data/nothing.png")
    monkeypatch.setattr(photographs, "PACKAGES", ("skimage", "no_such_package"))
    with pytest.raises(tasks.MissingDependency, match="the photographs needs no_such_package"):
        tiles.__wrapped__()


def test_linear_light() -> None:
    levels = np.array([0, 10, 128, 255], np.uint8)
    v = levels / 255
    np.testing.assert_allclose(linear(levels), [0, v[1] / 12.92, ((v[2] + 0.055) / 1.055) ** 2.4, 1])


def test_a_bright_noiseless_camera_gives_the_photograph_back() -> None:
    reference = tiles()[0][:50]
    camera = Camera(stops=(0, 0), cast=0, gamma=(2.2, 2.2), photons=(40, 40), read=0)
    found = camera.expose(reference, np.random.default_rng(0)).astype(int)
    np.testing.assert_allclose(found, 255 * linear(reference) ** (1 / 2.2), atol=0.51)
    darker = Camera(stops=(3, 3), cast=0, gamma=(1, 1), photons=(40, 40), read=0).expose(reference, np.random.default_rng(0))
    np.testing.assert_allclose(darker, 255 * linear(reference) / 8, atol=0.51)


def test_noise_is_that_of_photons_and_of_reading() -> None:
    grey = np.full((400, 3, 16, 16), 188, np.uint8)  # half of the light
    camera = Camera(stops=(1, 1), cast=0, gamma=(1, 1), photons=(7, 7), read=3.0)
    electrons = camera.expose(grey, np.random.default_rng(0)) / 255 * 128
    expected = linear(grey)[0, 0, 0, 0] * 64
    assert electrons.mean() == pytest.approx(expected, rel=0.01)
    assert electrons.var() == pytest.approx(expected + 9 + (128 / 255) ** 2 / 12, rel=0.02)


def test_a_cast_changes_red_and_blue_only() -> None:
    white = np.full((500, 3, 4, 4), 255, np.uint8)
    camera = Camera(stops=(1, 1), cast=0.5, gamma=(1, 1), photons=(40, 40), read=0)
    light = camera.expose(white, np.random.default_rng(0)).mean((2, 3)) / 255
    assert light[:, 1] == pytest.approx(0.5, abs=0.01)
    for channel in (0, 2):
        assert light[:, channel].min() == pytest.approx(0.5 * 2**-0.5, abs=0.01)
        assert light[:, channel].max() == pytest.approx(0.5 * 2**0.5, abs=0.01)


# --- sessions -----------------------------------------------------------------------------------------------------------------------------


def zeroed(session: ImageSession) -> None:
    for parameter in session.last_layer():
        nn.init.zeros_(parameter)


def whole(session: ImageSession) -> list[float]:
    """Losses of the whole training set as it is stored."""
    rows = session._train.slice(0, len(session._train))
    with torch.no_grad():
        return [loss.item() for loss in session.criteria(session.net(rows[0])[0], rows)]


@pytest.mark.parametrize("name", NAMES)
def test_initial_losses_are_those_of_a_zero_output(name: str) -> None:
    session = opened(name)
    zeroed(session)
    assert whole(session) == pytest.approx(session.initial_losses, rel=1e-4)


def test_initial_losses_of_photos_by_numpy() -> None:
    """To black everything is known in closed form, where windows are means: the brightness, and the angle and histogram of black."""
    session = opened("photos")
    reference = session._train.slice(0, len(session._train))[1].double().numpy() / 255
    assert session.initial_losses[0] == pytest.approx(reference.mean(), rel=1e-4)
    steps = [np.abs(np.diff(reference, axis=axis)).mean() for axis in (2, 3)]
    assert session.initial_losses[3] == pytest.approx(np.mean(steps), rel=1e-4)
    assert session.initial_losses[3] == session.prior_losses[3]  # every constant has no steps
    assert session.prior_losses[0] == pytest.approx(np.abs(reference - np.median(reference, (0, 2, 3))[:, None, None]).mean(), rel=1e-4)


def test_prior_losses_are_those_of_the_best_colour() -> None:
    session = opened("photos")
    reference = session._train.slice(0, len(session._train))[1] / 255
    draws = np.random.default_rng(0)
    levels = session._train.slice(0, len(session._train))[1].numpy()
    for t, (term, best) in enumerate(
        [(illumination, constant_images.illumination), (colour, constant_images.colour), (structure, constant_images.structure)]
    ):
        found = best(levels)
        near = [np.clip(found + draws.normal(0, 0.05, 3), 0, 1) for _ in range(6)]
        for other in (*near, *draws.random((6, 3))):
            constant = torch.tensor(other, dtype=torch.float32)[:, None, None].expand_as(reference)
            assert term(constant, reference).mean().item() >= session.prior_losses[t] * (1 - 2e-3)
        constant = torch.tensor(found, dtype=torch.float32)[:, None, None].expand_as(reference)
        assert term(constant, reference).mean().item() == pytest.approx(session.prior_losses[t], rel=1e-4)
    assert smoothness(torch.zeros_like(reference), reference).mean().item() == pytest.approx(session.prior_losses[3], rel=1e-4)


def test_curves_have_no_labels_and_so_no_prior() -> None:
    session = opened("curves")
    assert all(map(math.isnan, session.prior_losses))
    assert (session.initial_losses[0], session.initial_losses[3]) == (0.0, 0.0)


def test_no_loss_of_curves_looks_at_a_reference() -> None:
    session = opened("curves")
    dark, reference = session.batch(0)
    losses = [[loss.item() for loss in session.losses((dark, other))[0]] for other in (reference, torch.zeros_like(reference))]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch, name: str, split: Split) -> None:
    session = opened(name)
    found = session.evaluate(split)
    monkeypatch.setattr(type(session), "chunk", 37)
    again = session.evaluate(split)
    assert again.losses == pytest.approx(found.losses, rel=1e-5)
    assert again.metrics == pytest.approx(found.metrics, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_the_mean_over_images_of_the_training_losses(name: str) -> None:
    session = opened(name)
    rows = session._test.slice(0, 10**9)
    with torch.no_grad():
        losses = session.criteria(session.net(rows[0])[0], rows)
    assert session.evaluate("test").losses == pytest.approx([loss.item() for loss in losses], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_both_images_of_a_pair_are_turned_alike(name: str) -> None:
    session = opened(name, batch_size=4)
    rows = torch.arange(4 * 3 * 16 * 16).reshape(4, 3, 16, 16)
    seen = set()
    for seed in range(60):
        one, two = session.augment((rows, rows + 5), np.random.default_rng(seed))
        assert torch.equal(one + 5, two)
        seen.add(tuple(one[0, 0, 0].tolist()))
    assert len(seen) == 8


@pytest.mark.parametrize("size", [(32, 32), (17, 32), (33, 21)])
def test_an_enhancer_takes_images_of_any_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = Enhancer(8)
    image = torch.rand(2, 3, *size)
    assert network(image).shape == image.shape
    even = torch.nn.functional.pad(image, (0, size[1] % 2, 0, size[0] % 2), mode="replicate")
    assert torch.equal(network(image), network(even)[..., : size[0], : size[1]])


@pytest.mark.parametrize(("name", "titles"), [("photos", ["in the dark", "output", "reference"]), ("curves", ["in the dark", "output"])])
def test_pictures(name: str, titles: list[str]) -> None:
    session = opened(name)
    rows = session.gallery("test", 3)
    assert len(rows) == 3
    for number, row in enumerate(rows):
        assert [panel.title for panel in row][: len(titles)] == titles
        reference = session._test.slice(number, number + 1)[1][0].numpy().transpose(1, 2, 0) / 255
        np.testing.assert_allclose(row[2].pixels, reference, rtol=1e-6)  # type: ignore[union-attr]
    if name == "curves":
        assert [row[3].colours for row in rows] == ["heat"] * 3  # type: ignore[union-attr]
    else:
        assert len(TERMS) == 4


@pytest.mark.parametrize("name", NAMES)
def test_training_beats_what_was_learned_from_nothing(name: str) -> None:
    session = opened(name, batch_size=8)
    before = session.evaluate("test").metrics["illumination/psnr" if name == "photos" else "exposure/exposedness"]
    optimizer = torch.optim.Adam(session.model.parameters(), lr=2e-3)
    for step in range(40):
        torch.stack(session.losses(session.batch(step))[0]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = session.evaluate("test").metrics["illumination/psnr" if name == "photos" else "exposure/exposedness"]
    assert after > before * 1.2
