"""Named adversarial Jacobians, and a strategy that draws ill-scaled ones."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor


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


@st.composite
def jacobians(draw: st.DrawFn, min_tasks: int = 1, max_tasks: int = 6, ill_scaled: bool = True) -> Tensor:
    """T x P matrices at scales 1e-6 to 1e6, plain, of low rank, with duplicated rows, or with rows of very different size."""
    tasks = draw(st.integers(min_tasks, max_tasks))
    columns = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 10**6))
    kind = draw(st.sampled_from(["plain", "low rank", "duplicated", *(["ill-scaled"] if ill_scaled else [])]))
    matrix = gaussian(tasks, columns, seed)
    if kind == "low rank":
        matrix = gaussian(tasks, 1 + tasks // 2, seed) @ gaussian(1 + tasks // 2, columns, seed + 1)
    if kind == "duplicated":
        matrix = matrix[torch.arange(tasks) // 2]
    if kind == "ill-scaled":
        matrix = scaled(matrix, seed)
    return matrix * 10.0 ** draw(st.integers(-6, 6))
