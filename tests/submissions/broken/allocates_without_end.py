# breaks: memory
import torch

import methods


@methods.register(
    methods.Card(name="allocates_without_end", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        kept = []
        while True:
            kept.append(torch.ones(10_000_000))
