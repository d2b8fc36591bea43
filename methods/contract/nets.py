"""A small network with a trunk and a head a task, and its gradients taken the plain way."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import methods


@dataclass
class Net:
    """Regression heads with targets of very different size that pull the trunk in different directions."""

    trunk: nn.Module
    heads: list[nn.Module]
    x: Tensor
    targets: list[Tensor]
    z: Tensor = field(init=False)

    def losses(self) -> list[Tensor]:
        self.z = self.trunk(self.x)
        return [(head(self.z) - y).square().mean() for head, y in zip(self.heads, self.targets, strict=True)]

    def shared(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

    def private(self, task: int) -> list[nn.Parameter]:
        return list(self.heads[task].parameters())

    def parameters(self) -> list[nn.Parameter]:
        return [*self.shared(), *(p for t in range(len(self.heads)) for p in self.private(t))]

    def to(self, dtype: torch.dtype, device: str = "cpu") -> Net:
        """The same net and data in another dtype, elsewhere."""
        heads: list[nn.Module] = [head.to(device, dtype) for head in self.heads]
        return Net(self.trunk.to(device, dtype), heads, self.x.to(device, dtype), [y.to(device, dtype) for y in self.targets])

    def clear(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None

    def jacobian(self) -> Tensor:
        """Rows of shared gradients, taken by autograd.grad."""
        return torch.stack([flat(torch.autograd.grad(loss, self.shared(), retain_graph=True)) for loss in self.losses()])

    def plain(self, task: int) -> Tensor:
        return flat(torch.autograd.grad(self.losses()[task], self.private(task)))

    def update(self) -> Tensor:
        return grads(self.shared())


def build(tasks: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0, norm: bool = False) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh()]
        trunk = nn.Sequential(*layers, *([nn.LayerNorm(6)] if norm else [])).to(dtype)
        heads: list[nn.Module] = [nn.Linear(6, 2).to(dtype) for _ in range(tasks)]
        x = torch.randn(12, 5, dtype=dtype)
        targets = [10.0 ** (t - 1) * torch.randn(12, 2, dtype=dtype) for t in range(tasks)]
    return Net(trunk, heads, x, targets)


def backward(balancer: methods.Method, net: Net) -> methods.Step:
    """``balancer.backward`` with all that any method may ask for; every further batch is the same again."""
    losses = net.losses()
    evaluate = (lambda k: net.losses()) if balancer.extra_batches else None
    return balancer.backward(losses, shared=net.shared(), representation=net.z, evaluate=evaluate)


def flat(tensors: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def grads(parameters: list[nn.Parameter]) -> Tensor:
    return flat([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
