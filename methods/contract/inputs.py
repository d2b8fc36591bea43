"""Adversarial Jacobians: named ones, and drawn ones of the same kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from methods.contract.outcome import Broken, one_line


def gaussian(tasks: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(tasks, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaled(matrix: Tensor, seed: int = 1) -> Tensor:
    """Rows over twelve orders of magnitude."""
    powers = torch.rand(len(matrix), 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 12 - 6
    return matrix * 10**powers


def with_zero_row(matrix: Tensor, row: int = 1) -> Tensor:
    matrix = matrix.clone()
    matrix[row] = 0
    return matrix


INPUTS: dict[str, Tensor] = {
    "random": gaussian(4, 7),
    "tall": gaussian(6, 2),
    "tiny": gaussian(3, 5) * 1e-6,
    "huge": gaussian(3, 5) * 1e6,
    "zero row": with_zero_row(gaussian(4, 6)),
    "only one row": with_zero_row(with_zero_row(gaussian(3, 6)), 0),
    "all zero": torch.zeros(3, 4, dtype=torch.float64),
    "rank deficient": gaussian(5, 2) @ gaussian(2, 6, 3),
    "duplicated": gaussian(2, 5)[[0, 1, 0, 1, 1]],
    "antiparallel": torch.tensor([[1.0, 2.0], [-2.0, -4.0]], dtype=torch.float64),
    "balanced": torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]], dtype=torch.float64),
    "collinear": gaussian(1, 4) * torch.tensor([[1.0], [3.0], [0.2]], dtype=torch.float64),
    "one task": gaussian(1, 4),
    "nothing shared": torch.eye(4, dtype=torch.float64)[:3] * torch.tensor([[1.0], [20.0], [0.3]], dtype=torch.float64),
    "log-normal scales": scaled(gaussian(5, 8)),
    "agreeing": gaussian(4, 6).abs(),
}

KINDS = ("plain", "low rank", "duplicated", "ill-scaled")


def matrix(kind: str, tasks: int, columns: int, seed: int, power: int) -> Tensor:
    """J ``[T, P]`` times ``10**power``: plain, of low rank, with duplicated rows, or with rows of very different size."""
    found = gaussian(tasks, columns, seed)
    if kind == "low rank":
        found = gaussian(tasks, 1 + tasks // 2, seed) @ gaussian(1 + tasks // 2, columns, seed + 1)
    if kind == "duplicated":
        found = found[torch.arange(tasks) // 2]
    if kind == "ill-scaled":
        found = scaled(found, seed)
    return found * 10.0**power


def drawn(count: int, seed: int = 0) -> dict[str, Tensor]:
    """So many matrices of all kinds, at scales from 1e-6 to 1e6, the same for the same seed; what they are called says how to make them."""
    generator = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    found = {}
    for index in range(count):
        given = (KINDS[index % len(KINDS)], whole(1, 6), whole(1, 8), whole(0, 10**6), whole(-6, 6))
        found["{} {} x {}, seed {}, times 1e{}".format(*given)] = matrix(*given)
    return found


def on_each(inputs: Mapping[str, Tensor], act: Callable[[Tensor], object]) -> None:
    """``act`` on every matrix; what goes wrong is told with the name of the input.

    Raises:
        Broken: whatever ``act`` raised.
    """
    for name, given in inputs.items():
        try:
            act(given)
        except Exception as error:
            raise Broken(f"on {name!r}, J of {len(given)} x {given.shape[1]}: {one_line(error)}") from error


def show(values: Tensor, most: int = 6) -> str:
    """The first numbers of a tensor, at four digits."""
    numbers = [f"{value:.4g}" for value in values.detach().reshape(-1)[:most].tolist()]
    return "[" + ", ".join([*numbers, *(["..."] if values.numel() > most else [])]) + "]"
