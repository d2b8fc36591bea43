"""Two overlapping digits: what is seen, what is hidden, and that no scan is in two splits."""

import numpy as np
from sklearn.datasets import load_digits

import tasks
from tasks.locations import Locations
from tasks.multidigits import GROUPS, HEIGHT, PAIRS, WIDTH, MultiDigits, overlay, pairs


def problem() -> MultiDigits:
    found = tasks.problem("multidigits")
    assert isinstance(found, MultiDigits)
    return found


def test_no_scan_is_in_two_splits() -> None:
    drawn = pairs(1797)
    assert drawn.shape == (GROUPS * PAIRS, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for seed in (0, 1, 100):
        cut = problem().indices(len(drawn), seed)
        train, validation, test = (set(drawn[part].ravel().tolist()) for part in (cut.train, cut.validation, cut.test))
        assert not train & validation
        assert not train & test
        assert not validation & test
        assert len(train | validation | test) == 1797  # every scan is somewhere


def test_the_darker_is_seen_and_the_lighter_is_hidden() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(0, 17, (2, 500, 8, 8)).astype(np.uint8)
    canvas, hidden = overlay(left, right)
    assert canvas.shape == (500, HEIGHT, WIDTH)
    # max + min is left + right, wherever they were put
    ink = left.sum((1, 2), dtype=np.int64) + right.sum((1, 2), dtype=np.int64)
    assert (canvas.sum((1, 2), dtype=np.int64) + hidden == ink).all()
    blank = np.zeros_like(left)
    for scans, (one, other) in ((left, (left, blank)), (right, (blank, right))):
        alone, nothing = overlay(one, other)
        assert (nothing == 0).all()
        assert (alone.sum((1, 2), dtype=np.int64) == scans.sum((1, 2), dtype=np.int64)).all()
    solid = np.full_like(left, 16)
    alone = [overlay(*pair)[0] > 0 for pair in ((solid, blank), (blank, solid))]
    starts = [mask.any(1).argmax(1) for mask in alone]
    assert set((starts[1] - starts[0]).tolist()) == {3, 4}
    for mask in alone:
        assert (mask.sum((1, 2)) == 64).all()  # nothing is cut off
        assert set(mask.any(2).argmax(1).tolist()) == {0, 1, 2}


def test_labels_are_those_of_the_scans() -> None:
    arrays, drawn, digits = problem().arrays(Locations()), pairs(1797), load_digits()
    assert arrays.inputs.shape == (GROUPS * PAIRS, 1, HEIGHT, WIDTH)
    assert arrays.inputs.dtype == np.uint8
    for index in (0, 1):
        assert (arrays.targets[index] == digits.target[drawn[:, index]]).all()
    ink = digits.images.sum((1, 2))
    seen = arrays.inputs.sum((1, 2, 3), dtype=np.int64)
    assert (arrays.targets[2][:, 0] == ink[drawn[:, 0]] + ink[drawn[:, 1]] - seen).all()
