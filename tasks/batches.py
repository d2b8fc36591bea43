"""Data as a training loop has it, a ``DataLoader`` or a list of batches: batches by number, on a device, or taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.errors import TaskError

if TYPE_CHECKING:
    from torch import Tensor


class Batches:
    """Batches by number, in an order that a seed draws."""

    def __init__(self, given: Any, name: str) -> None:
        self._name = name
        if isinstance(given, (list, tuple)):
            self._items: Any = given
            self._collate: Callable[[list[Any]], Any] = lambda items: items[0]
            self.size = 1
        elif hasattr(given, "dataset") and hasattr(given, "collate_fn"):
            if not hasattr(given.dataset, "__getitem__") or not hasattr(given.dataset, "__len__"):
                raise TaskError(
                    f"from_loop: the data set of {name} cannot be indexed; expected one with len() and [i], or a list of batches"
                )
            if getattr(given, "batch_size", None) is None:
                raise TaskError(
                    f"from_loop: {name} has a batch sampler of its own; expected a DataLoader with batch_size, or a list of batches"
                )
            self._items, self._collate, self.size = given.dataset, given.collate_fn, given.batch_size
        else:
            raise TaskError(f"from_loop: {name} is {type(given).__name__}; expected a DataLoader or a list of batches")
        if not len(self._items):
            raise TaskError(f"from_loop: {name} is empty; expected at least one batch")
        self.size = min(self.size, len(self._items))

    def __len__(self) -> int:
        """Rows, or batches where the data came as those."""
        return len(self._items)

    def of(self, rows: Sequence[int]) -> Any:
        return self._collate([self._items[row] for row in rows])

    def in_order(self) -> Iterable[tuple[Any, int]]:
        """Every batch with the number of its rows; the last may be smaller."""
        for start in range(0, len(self), self.size):
            rows = range(start, min(start + self.size, len(self)))
            yield self.of(rows), len(rows)


def tensors(batch: Any) -> list[Tensor]:
    """All tensors of a batch, however nested."""
    import torch

    if isinstance(batch, torch.Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        return [tensor for value in batch.values() for tensor in tensors(value)]
    return [tensor for value in batch for tensor in tensors(value)] if isinstance(batch, (list, tuple)) else []


def moved(batch: Any, device: str) -> Any:
    """The batch on a device."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device) for value in batch))
    return type(batch)(moved(value, device) for value in batch) if isinstance(batch, (list, tuple)) else batch
