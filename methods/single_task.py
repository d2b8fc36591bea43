from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.errors import MethodError
from methods.families import LossWeighting
from methods.registry import register


@register(
    Card(
        name="single_task",
        version=1,
        title="Single-task training",
        paper="Caruana, Multitask Learning, Machine Learning 28, 1997",
        year=1997,
        family="loss",
        equation="L_task",
        hyperparameters=(Hyperparameter("task", 0, "index of the task that is trained", low=0),),
        per_task=True,
        baseline=True,
    )
)
class SingleTask(LossWeighting):
    """One loss alone: trained once for every task, it is what the others are measured against."""

    task: int

    def setup(self) -> None:
        if self.task >= self.num_tasks:
            raise MethodError(f"single_task.task is {self.task}; expected a task in 0..{self.num_tasks - 1}")

    @property
    def tasks(self) -> tuple[int, ...]:
        return (self.task,)

    def weights(self, losses: Tensor) -> Tensor:
        weights = torch.zeros_like(losses)
        weights[self.task] = 1.0
        return weights
