import torch

import methods


@methods.register(
    methods.Card(name="running_losses", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Honest(methods.LossWeighting):
    def setup(self):
        self.register_buffer("mean", torch.ones(self.num_tasks))

    def weights(self, losses):
        self.mean.lerp_(losses.to(self.mean), 0.1)
        return 1 / (1 + self.mean.to(losses, copy=True).abs())
