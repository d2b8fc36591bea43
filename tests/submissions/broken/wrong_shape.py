# breaks: builds
import torch

import methods


@methods.register(
    methods.Card(name="wrong_shape", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.ones(len(losses) + 1, dtype=gramian.dtype)
