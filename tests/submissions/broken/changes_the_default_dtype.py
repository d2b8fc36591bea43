# breaks: globals
import torch

import methods


torch.set_default_dtype(torch.float64)


@methods.register(
    methods.Card(name="changes_the_default_dtype", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
