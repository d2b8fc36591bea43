# breaks: globals
import torch

import methods


torch.manual_seed(0)


@methods.register(
    methods.Card(name="seeds_the_random_state", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
