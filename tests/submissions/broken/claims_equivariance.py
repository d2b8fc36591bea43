# breaks: claims
import torch

import methods


@methods.register(
    methods.Card(name="claims_equivariance", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w", claims=("permutation_equivariant",))
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.arange(1.0, len(losses) + 1, dtype=gramian.dtype)
