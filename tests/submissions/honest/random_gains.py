import torch

import methods


@methods.register(
    methods.Card(
        name="random_gains", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w", randomised=True
    )
)
class Honest(methods.LossMethod):
    def objective(self, losses):
        gains = torch.rand(len(losses), generator=self.generator).to(losses)
        return (gains * losses).sum()
