# breaks: differs
import torch

import methods


@methods.register(
    methods.Card(name="is_equal_weights", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.ones_like(gramian[0])
