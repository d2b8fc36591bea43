"""Metrics of classes and numbers, from all outputs and targets of a split at once.

In float32, with sums in one order, as torchmetrics has them: to the last bit what it gives, without the second that importing it takes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts ``[K, K]``: rows are the labels, columns the predictions."""
    return torch.bincount(labels.reshape(-1) * classes + predicted.reshape(-1), minlength=classes * classes).reshape(classes, classes)


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose likeliest class is the true one: of K classes for ``[B, K]``, of two under one logit for ``[B, 1]``."""
    predicted = outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0] > 0
    return (predicted == labels).sum().float() / len(labels)


def f1(outputs: Tensor, labels: Tensor) -> Tensor:
    """F1 of the second of two classes under one logit; its mean over the classes that occur, or are predicted, for K logits."""
    classes = outputs.shape[1]
    if classes == 1:
        return _f1(confusion((outputs[:, 0] > 0).long(), labels, 2))[1]
    counts = confusion(outputs.argmax(1), labels, classes)
    present = (counts.sum(0) + counts.sum(1) > 0).float()
    return (present * _f1(counts) / present.sum()).sum()


def _f1(counts: Tensor) -> Tensor:
    """2 TP / (2 TP + FN + FP) of each class ``[K]``; 0 of one that neither occurs nor is predicted."""
    true = 2.0 * counts.diagonal()
    whole = true + (counts.sum(1) - counts.diagonal()) + (counts.sum(0) - counts.diagonal())
    return torch.where(whole > 0, true / whole, 0.0)


def mean_absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.reshape(-1) - targets.reshape(-1)).abs().sum() / outputs.numel()


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    differences = outputs.reshape(-1) - targets.reshape(-1)
    return (differences * differences).sum() / outputs.numel()
