"""The networks of the embedded problems: one shared trunk, one head a task (hard parameter sharing)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MultiTaskNet(nn.Module):
    """``z = trunk(x)``, ``output_t = heads[t](z)``.

    ``last_shared`` is the last layer with parameters inside the trunk: GradNorm's W.
    """

    def __init__(self, trunk: nn.Sequential, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    @property
    def last_shared(self) -> nn.Module:
        return [layer for layer in self.trunk if any(True for _ in layer.parameters())][-1]

    def forward(self, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs, one ``[B, outputs_t]`` a task, and the representation ``[B, width]`` that the heads read."""
        representation = self.trunk(inputs)
        return [head(representation) for head in self.heads], representation


def mlp(widths: Sequence[int], outputs: Sequence[int]) -> MultiTaskNet:
    """Fully connected trunk, ReLU after every layer, ``widths`` from the input to the representation; one linear head a task.

    Inputs of more than two dimensions are flattened.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return MultiTaskNet(nn.Sequential(*layers), [nn.Linear(widths[-1], size) for size in outputs])
