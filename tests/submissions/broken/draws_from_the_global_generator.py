# breaks: determinism
import torch

import methods


@methods.register(
    methods.Card(name="draws_from_the_global_generator", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.rand(len(losses), dtype=gramian.dtype)
