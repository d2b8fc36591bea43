"""Metrics are those of torchmetrics, bit by bit: records that were made with them stay what a run gives."""

import pytest
import torch
from torch import Tensor

from tasks import scores

torchmetrics = pytest.importorskip("torchmetrics", reason="what it gives is what is compared")
SIZES = (1, 2, 7, 500)


def drawn(rows: int, columns: int, classes: int, lacking: bool) -> tuple[Tensor, Tensor]:
    """Outputs and labels; some without a class that occurs, or is predicted, nowhere."""
    generator = torch.Generator().manual_seed(1000 * rows + classes)
    outputs = torch.randn(rows, columns, generator=generator)
    labels = torch.randint(classes - lacking, (rows,), generator=generator)
    if lacking:
        outputs[:, -1] = -9.0
    return outputs, labels


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("lacking", [False, True])
def test_accuracy_and_f1_of_two_classes(rows: int, lacking: bool) -> None:
    outputs, labels = drawn(rows, 1, 2, lacking)
    predicted = (outputs[:, 0] > 0).long()
    assert torch.equal(scores.accuracy(outputs, labels), torchmetrics.functional.accuracy(predicted, labels, task="binary"))
    assert torch.equal(scores.f1(outputs, labels), torchmetrics.functional.f1_score(predicted, labels, task="binary"))


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("lacking", [False, True])
def test_accuracy_and_f1_of_more_classes(rows: int, classes: int, lacking: bool) -> None:
    outputs, labels = drawn(rows, classes, classes, lacking)
    given = {"task": "multiclass", "num_classes": classes}
    assert torch.equal(scores.accuracy(outputs, labels), torchmetrics.functional.accuracy(outputs, labels, average="micro", **given))
    assert torch.equal(scores.f1(outputs, labels), torchmetrics.functional.f1_score(outputs, labels, average="macro", **given))


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("columns", [1, 4])
def test_errors_of_numbers(rows: int, columns: int) -> None:
    outputs, targets = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(rows)).unbind()
    assert torch.equal(scores.mean_absolute_error(outputs, targets), torchmetrics.functional.mean_absolute_error(outputs, targets))
    assert torch.equal(scores.mean_squared_error(outputs, targets), torchmetrics.functional.mean_squared_error(outputs, targets))
    rooted = torchmetrics.functional.mean_squared_error(outputs, targets, squared=False)
    assert torch.equal(scores.mean_squared_error(outputs, targets).sqrt(), rooted)


def test_confusion_has_labels_in_rows() -> None:
    predicted, labels = torch.tensor([[2, 2, 0], [1, 1, 1]]), torch.tensor([[2, 0, 0], [1, 1, 2]])
    assert scores.confusion(predicted, labels, 3).tolist() == [[1, 0, 1], [0, 2, 0], [0, 1, 1]]
    counted = torchmetrics.functional.confusion_matrix(predicted, labels, task="multiclass", num_classes=3)
    assert torch.equal(scores.confusion(predicted, labels, 3), counted)
