"""Every loss and metric of an image against scikit-image, or against loops in plain numpy, on random images."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tasks import curve_losses, image_losses
from tasks.ciede2000 import ciede2000, lab
from tasks.image_losses import BINS, DARK, LIFT
from tasks.image_sessions import SEEN, angle, psnr

Images = NDArray[np.float64]
SHAPE = (4, 3, 24, 16)


def pair(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> tuple[Images, Images]:
    draws = np.random.default_rng(seed)
    reference = draws.random(shape)
    reference[0, :, :3] = 0  # black pixels
    image = reference + draws.normal(0, 0.2, shape)  # beyond [0, 1] too
    image[0, :, 2:5] = 0
    return image, reference


def tensors(*arrays: Images) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("shape", [SHAPE, (2, 3, 11, 13), (2, 3, 32, 32)])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, ...]) -> None:
    image, reference = pair(shape)
    expected = [
        structural_similarity(*each, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
        for each in zip(image, reference, strict=True)
    ]
    np.testing.assert_allclose(image_losses.ssim(*tensors(image, reference)), expected, rtol=1e-10)
    np.testing.assert_allclose(image_losses.structure(*tensors(image, reference)), 1 - np.array(expected), rtol=1e-10)
    single = [tensor.float() for tensor in tensors(image, reference)]
    np.testing.assert_allclose(image_losses.ssim(*single), expected, rtol=1e-4, atol=1e-5)


def test_ssim_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="side 10: SSIM needs at least 11 pixels"):
        image_losses.ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


def test_psnr_is_that_of_scikit_image() -> None:
    image, reference = pair()
    expected = [peak_signal_noise_ratio(two, one, data_range=1.0) for one, two in zip(image, reference, strict=True)]
    np.testing.assert_allclose(psnr(*tensors(image, reference)), expected, rtol=1e-10)
    assert psnr(*tensors(image, image)).tolist() == [100.0] * len(image)


def test_ciede2000_is_that_of_scikit_image() -> None:
    draws = np.random.default_rng(1)
    one, two = draws.random((2, 3, 3, 64, 64))
    two[0] = one[0] + draws.normal(0, 0.01, one[0].shape)  # small differences
    one[1, 1:] = one[1, :1]  # greys
    one[2, :, :8], two[2, :, 4:12] = 0, 1
    one, two = one.clip(0, 1), two.clip(0, 1)
    expected = deltaE_ciede2000(*(rgb2lab(np.moveaxis(each, 1, -1)) for each in (one, two)))
    np.testing.assert_allclose(ciede2000(*(lab(each) for each in tensors(one, two))), expected, rtol=1e-6, atol=1e-6)
    single = ciede2000(*(lab(each.float()) for each in tensors(one, two)))
    np.testing.assert_allclose(single, expected, atol=0.05)


def test_ciede2000_of_the_papers_own_pairs() -> None:
    """Rows of table 1 of Sharma, Wu and Dalal (2005), among them the ones at the discontinuities of the mean hue."""
    rows = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ]
    one, two = (torch.tensor([row[side] for row in rows], dtype=torch.float64) for side in (0, 1))
    for left, right in ((one, two), (two, one)):
        np.testing.assert_allclose(ciede2000(left, right), [row[2] for row in rows], atol=5e-5)


def test_illumination_and_smoothness_by_numpy() -> None:
    image, reference = pair()
    np.testing.assert_allclose(image_losses.illumination(*tensors(image, reference)), np.abs(image - reference).mean((1, 2, 3)))
    down, right = (np.abs(np.diff(image, axis=axis) - np.diff(reference, axis=axis)).mean((1, 2, 3)) for axis in (2, 3))
    np.testing.assert_allclose(image_losses.smoothness(*tensors(image, reference)), (down + right) / 2)


def soft_histogram(values: Images) -> Images:
    found = np.zeros(BINS)
    for value in values.ravel():
        place = value * (BINS - 1)
        below = min(int(place), BINS - 2)
        found[below] += 1 - (place - below)
        found[below + 1] += place - below
    return found / values.size


def test_colour_by_loops() -> None:
    image, reference = pair()
    for number, (one, two) in enumerate(zip(image, reference, strict=True)):
        cosines = [
            one[:, y, x] @ two[:, y, x] / np.sqrt((one[:, y, x] ** 2).sum() * (two[:, y, x] ** 2).sum() + DARK**2)
            for y in range(one.shape[1])
            for x in range(one.shape[2])
        ]
        apart = []
        shares = []
        for each in (one, two):
            means = np.clip(each, 0, 1).reshape(3, each.shape[1] // 2, 2, each.shape[2] // 2, 2).mean((2, 4)) + LIFT
            shares.append(means / means.sum(0))
        for channel in range(3):
            apart.append(np.abs(soft_histogram(shares[0][channel]) - soft_histogram(shares[1][channel])).sum())
        expected = 1 - np.mean(cosines) + np.sum(apart)
        np.testing.assert_allclose(image_losses.colour(*tensors(image, reference))[number], expected, rtol=1e-9)


def test_angles_by_arccos() -> None:
    image, reference = (each.clip(0, 1) for each in pair())
    for number, (one, two) in enumerate(zip(image, reference, strict=True)):
        lengths = np.linalg.norm(one, axis=0), np.linalg.norm(two, axis=0)
        seen = lengths[1] >= SEEN
        with np.errstate(invalid="ignore"):
            angles = np.degrees(np.arccos(np.clip((one * two).sum(0) / (lengths[0] * lengths[1]), -1, 1)))
        expected = np.where(lengths[0] > 0, angles, 0)[seen].mean()
        np.testing.assert_allclose(angle(*tensors(image, reference))[number], expected, rtol=1e-6)
    assert angle(*tensors(image, np.zeros_like(image))).tolist() == [0.0] * len(image)


@pytest.mark.parametrize("name", ["illumination", "colour", "structure", "smoothness"])
def test_a_black_image_and_reference_have_finite_gradients(name: str) -> None:
    for shown, wanted in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0)):
        image = torch.full((2, 3, 16, 16), shown, requires_grad=True)
        getattr(image_losses, name)(image, torch.full_like(image, wanted)).mean().backward()
        assert image.grad is not None
        assert image.grad.isfinite().all()


# --- without a reference ------------------------------------------------------------------------------------------------------------------


def pooled(image: Images, side: int) -> Images:
    grey = image.mean(1)
    return grey.reshape(len(grey), grey.shape[1] // side, side, grey.shape[2] // side, side).mean((2, 4))


def curves() -> tuple[Images, Images]:
    draws = np.random.default_rng(2)
    return draws.random(SHAPE), draws.uniform(-1, 1, (SHAPE[0], 24, SHAPE[2] // 2, SHAPE[3] // 2))


def test_curves_by_a_loop_and_within_bounds() -> None:
    dark, _ = curves()
    levels = np.random.default_rng(3).uniform(-1, 1, 24)
    maps = np.broadcast_to(levels[:, None, None], (len(dark), 24, SHAPE[2] // 2, SHAPE[3] // 2)).copy()
    expected = dark.copy()
    for n in range(8):
        for channel in range(3):
            x = expected[:, channel]
            expected[:, channel] = x + levels[3 * n + channel] * (x**2 - x)
    np.testing.assert_allclose(curve_losses.brighten(*tensors(dark, maps)), expected, rtol=1e-9)
    found = curve_losses.brighten(*tensors(*curves()))
    assert 0 <= found.min() <= found.max() <= 1
    np.testing.assert_array_equal(curve_losses.brighten(*tensors(dark, np.zeros_like(maps))), dark)


def test_spatial_consistency_by_a_loop_over_cells_and_neighbours() -> None:
    image, dark = pair()
    one, two = pooled(image, 4), pooled(dark, 4)
    rows, columns = one.shape[1:]
    losses, alike = np.zeros(len(one)), [[] for _ in one]
    for y in range(rows):
        for x in range(columns):
            for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                if 0 <= y + dy < rows and 0 <= x + dx < columns:
                    a, b = one[:, y, x] - one[:, y + dy, x + dx], two[:, y, x] - two[:, y + dy, x + dx]
                    losses += (a - b) ** 2 / (rows * columns)
                    for number in range(len(one)):
                        alike[number].append((2 * a * b + 1e-4)[number] / (a**2 + b**2 + 1e-4)[number])
    np.testing.assert_allclose(curve_losses.spatial(*tensors(image, dark)), losses)
    np.testing.assert_allclose(curve_losses.consistency(*tensors(image, dark)), np.mean(alike, axis=1))
    np.testing.assert_allclose(curve_losses.consistency(*tensors(dark, dark)), 1)


def test_exposure_by_numpy() -> None:
    image, _ = curves()
    regions = pooled(image, 8)
    np.testing.assert_allclose(curve_losses.exposure(*tensors(image)), ((regions - 0.6) ** 2).mean((1, 2)))
    np.testing.assert_allclose(curve_losses.exposedness(*tensors(image)), np.exp(-12.5 * (regions - 0.6) ** 2).mean((1, 2)))


def test_colour_constancy_by_numpy() -> None:
    image, _ = curves()
    means = image.mean((2, 3))
    pairs = [(means[:, p] - means[:, q]) ** 2 for p, q in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(curve_losses.colour(*tensors(image)), np.sqrt(np.square(pairs).sum(0)))
    np.testing.assert_allclose(curve_losses.balance(*tensors(image)), (means.min(1) + 1e-4) / (means.max(1) + 1e-4))


def test_grey_images_have_a_gradient_of_colour_constancy() -> None:
    grey = torch.full((2, 3, 8, 8), 0.3, requires_grad=True)
    curve_losses.colour(grey).sum().backward()
    assert grey.grad is not None
    assert (grey.grad == 0).all()


def test_illumination_smoothness_by_numpy() -> None:
    _, maps = curves()
    expected = np.zeros(len(maps))
    for channel in range(24):
        for axis in (1, 2):
            expected += 2 * (np.diff(maps[:, channel], axis=axis) ** 2).mean((1, 2))
    np.testing.assert_allclose(curve_losses.smoothness(*tensors(maps)), expected)
    even = (maps.mean((2, 3)) ** 2 + 1e-4) / ((maps**2).mean((2, 3)) + 1e-4)
    np.testing.assert_allclose(curve_losses.evenness(*tensors(maps)), even.mean(1))
    np.testing.assert_allclose(curve_losses.evenness(*tensors(np.full_like(maps, 0.3))), 1)


def test_rounding_never_lifts_a_share_above_one() -> None:
    constant = torch.rand(2000, 1, 1, 1, generator=torch.Generator().manual_seed(0)).expand(2000, 24, 16, 16)
    assert curve_losses.evenness(constant).max() <= 1
    image = torch.rand(500, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert curve_losses.consistency(image, image * (1 + 1e-7)).max() <= 1
