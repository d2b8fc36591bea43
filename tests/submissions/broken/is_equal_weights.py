# breaks: differs
import torch

import methods


@methods.register(
    methods.Card(name="is_equal_weights", version=1, title="", paper="", year=2026, family="gramian", equation="")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.ones_like(gramian[0])
