"""From a training loop to advice: python -m benchmark advise --problem scripts/examples/advise.py:problem --time 5m"""

import torch
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

import tasks


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.ReLU())
        self.kind, self.price = torch.nn.Linear(32, 3), torch.nn.Linear(32, 1)


def losses(model, batch):  # what the loop adds up: the second is a thousand times the first
    x, kind, price = batch
    z = model.trunk(x)
    return {"kind": cross_entropy(model.kind(z), kind), "price": 1000 * mse_loss(model.price(z)[:, 0], price)}


g = torch.Generator().manual_seed(0)
x = torch.randn(1500, 16, generator=g)
kind = (x @ torch.randn(16, 3, generator=g)).argmax(1)
price = torch.tanh(x @ torch.randn(16, generator=g) / 2) + 0.1 * torch.randn(1500, generator=g)
train, held_out = (TensorDataset(x[rows], kind[rows], price[rows]) for rows in (slice(0, 1000), slice(1000, 1500)))
data = {"train": DataLoader(train, 64), "validation": DataLoader(held_out, 500)}

problem = tasks.from_loop(model=Net, losses=losses, **data, steps=300, learning_rate=3e-3)
