"""Files of scikit-learn, read past it, are what it loads from them."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_wine

import tasks
from tasks import diabetes, shipped, wine
from tasks.digits import scans

DATA = "sklearn/datasets/data"


def test_wines_are_those_of_scikit_learn() -> None:
    found, expected = shipped.numbers(f"{DATA}/wine_data.csv", skip=1), load_wine()
    assert np.array_equal(found, np.column_stack([expected.data, expected.target]))
    assert [expected.feature_names[column] for column in wine.LABELS] == ["color_intensity", "hue"]


def test_digits_are_those_of_scikit_learn() -> None:
    (images, classes), expected = scans(), load_digits()
    assert np.array_equal(images, expected.images)
    assert np.array_equal(classes, expected.target)


def test_patients_are_those_of_scikit_learn() -> None:
    expected = load_diabetes(scaled=False)
    assert np.array_equal(shipped.numbers(f"{DATA}/diabetes_data_raw.csv.gz", delimiter=None), expected.data)
    assert np.array_equal(shipped.numbers(f"{DATA}/diabetes_target.csv.gz", delimiter=None)[:, 0], expected.target)
    assert [expected.feature_names[column] for column in (diabetes.SEX, diabetes.RATIO)] == ["sex", "s4"]


@pytest.mark.parametrize("read", [shipped.numbers, shipped.content])
def test_a_file_that_is_not_in_its_package_is_named(read: object) -> None:
    assert callable(read)
    with pytest.raises(tasks.TaskError, match=re.escape("none.csv") + r".*; expected it in the installed sklearn \(reinstall it\)$"):
        read(f"{DATA}/none.csv")
