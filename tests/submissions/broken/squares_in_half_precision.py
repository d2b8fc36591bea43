# breaks: dtypes
import torch

import methods


@methods.register(
    methods.Card(name="squares_in_half_precision", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.half().pow(4).sum().to(losses) if losses.dtype == torch.float32 else losses.pow(4).sum()
