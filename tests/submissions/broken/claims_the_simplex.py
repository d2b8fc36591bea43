# breaks: claims
import torch

import methods


@methods.register(
    methods.Card(name="claims_the_simplex", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w", claims=("simplex",))
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.full_like(losses, 0.7, dtype=gramian.dtype) + gramian.diagonal() / (1 + gramian.diagonal())
