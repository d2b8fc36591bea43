"""The synthetic regression of GradNorm (Chen et al., ICML 2018, section 4): the same function at very different scales.

    f_i(x) = sigma_i tanh((B + eps_i) x),   x in R^250,  f_i in R^100,   B ~ N(0, 10²),  eps_i ~ N(0, 3.5²)

|Bx| is far above one, so that tanh is saturated and nearly all targets are +-sigma_i; it is kept because it is the published toy. How x is
drawn, the number of points and the ten sigmas are ours: x ~ U(0, 1) as in public re-implementations, standardised before the network as all
inputs are; 10,000 training, 1,000 validation and 1,000 test points; ten sigmas evenly spaced in their logarithm from 1 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task, derive
from tasks.inmemory import Arrays, SupervisedProblem, hash_arrays
from tasks.locations import Locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

INPUTS, OUTPUTS, ROWS = 250, 100, 12_000
SHARED_STD, PRIVATE_STD = 10.0, 3.5
"""Standard deviations of the entries of B and of eps_i."""


class GradNormToy(SupervisedProblem):
    """T tasks with scales ``sigmas``; a trunk of four ReLU layers of 100 units and a linear head a task."""

    validation_rows = 1000
    test_rows = 1000

    def __init__(self, name: str, sigmas: tuple[float, ...], steps: int) -> None:
        self.sigmas = sigmas
        self.outputs = (OUTPUTS,) * len(sigmas)
        self.card = ProblemCard(
            name=name,
            version=1,
            summary=f"GradNorm's toy: {len(sigmas)} regressions that share a function, at scales from {sigmas[0]:g} to {sigmas[-1]:g}",
            source="generated here after GradNorm (Chen et al., ICML 2018, arXiv:1711.02257), section 4",
            licence="MIT",
            tasks=tuple(
                Task(f"task{i}", "regression", f"squared error, sigma = {sigma:.3g}", (Metric("mse", low=0.0),))
                for i, sigma in enumerate(sigmas)
            ),
            extra_metrics=(Metric("task_normalised_loss", low=0.0, compared=False),),
            model="MLP 250-100-100-100-100, linear heads",
            rows=(10_000, 1000, 1000),
            steps=steps,
            batch_size=200,
            learning_rate=3e-3,
        )

    def arrays(self, where: Locations) -> Arrays:
        return _generate(self.sigmas)

    def fingerprint(self, where: Locations | None = None) -> str:
        """Of the random draws and the scales, not of the labels, whose last bits depend on the machine's matrix product."""
        import numpy as np

        return hash_arrays((*_draw(len(self.sigmas)), np.array(self.sigmas)))

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((INPUTS, 100, 100, 100, 100), self.outputs)

    def whole(self, losses: Sequence[float], initial_losses: Sequence[float]) -> dict[str, float]:
        """Mean over the tasks of loss / theoretical initial loss: 1 for an all-zero output, whatever T and the scales.

        The paper plots the sum, which is T times as much.
        """
        ratios = [loss / initial for loss, initial in zip(losses, initial_losses, strict=True)]
        return {"task_normalised_loss": sum(ratios) / len(ratios)}


def _draw(tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x ``[N, 250]``, B ``[100, 250]`` and eps ``[T, 100, 250]``; the first tasks of a larger T are those of a smaller one."""
    import numpy as np

    draws = np.random.default_rng(derive(0, "gradnorm_toy"))
    x = draws.uniform(0.0, 1.0, (ROWS, INPUTS))
    shared = draws.normal(0.0, SHARED_STD, (OUTPUTS, INPUTS))
    return x, shared, draws.normal(0.0, PRIVATE_STD, (tasks, OUTPUTS, INPUTS))


@lru_cache(maxsize=2)
def _generate(sigmas: tuple[float, ...]) -> Arrays:
    import numpy as np

    x, shared, private = _draw(len(sigmas))
    targets = (sigma * np.tanh(x @ (shared + own).T) for sigma, own in zip(sigmas, private, strict=True))
    return Arrays(x.astype(np.float32), tuple(target.astype(np.float32) for target in targets))


PROBLEMS = (
    GradNormToy("gradnorm_toy", sigmas=(1.0, 100.0), steps=3000),
    GradNormToy("gradnorm_toy_10", sigmas=tuple(round(100 ** (i / 9), 6) for i in range(10)), steps=1500),
)
