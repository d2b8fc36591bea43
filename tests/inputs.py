"""The contract's adversarial Jacobians, and a strategy that draws more of their kinds."""

from __future__ import annotations

from hypothesis import strategies as st
from torch import Tensor

from methods.contract.inputs import INPUTS, gaussian, matrix, scaled, with_zero_row

__all__ = ["INPUTS", "gaussian", "jacobians", "scaled", "with_zero_row"]


@st.composite
def jacobians(draw: st.DrawFn, min_tasks: int = 1, max_tasks: int = 6, ill_scaled: bool = True) -> Tensor:
    """T x P matrices at scales 1e-6 to 1e6, plain, of low rank, with duplicated rows, or with rows of very different size."""
    tasks = draw(st.integers(min_tasks, max_tasks))
    columns = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 10**6))
    kind = draw(st.sampled_from(["plain", "low rank", "duplicated", *(["ill-scaled"] if ill_scaled else [])]))
    return matrix(kind, tasks, columns, seed, draw(st.integers(-6, 6)))
