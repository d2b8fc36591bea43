from __future__ import annotations

from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import JacobianMethod
from methods.registry import register


@register(
    Card(
        name="trimmed_mean",
        version=1,
        title="Trimmed mean",
        paper="Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018",
        year=2018,
        arxiv="1803.01498",
        family="jacobian",
        equation="d_k = mean of the g_tk without the b largest and the b smallest",
        native_scale="mean",
        hyperparameters=(Hyperparameter("trim", 1, "b; at most so many that one gradient is left", low=0),),
        claims=("permutation_equivariant", "degree_1"),
        deviations="with T <= 2 b the median is taken, which is what is left",
    )
)
class TrimmedMean(JacobianMethod):
    """The mean of what is left of each coordinate when its extremes are thrown away."""

    trim: int

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        jacobian = jacobian[jacobian.any(dim=1)]  # a task without a gradient does not vote
        if not len(jacobian):
            return jacobian.sum(0)
        trim = min(self.trim, (len(jacobian) - 1) // 2)
        return jacobian.sort(0).values[trim : len(jacobian) - trim].mean(0)
