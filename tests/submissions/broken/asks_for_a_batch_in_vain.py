# breaks: batches
import torch

import methods


@methods.register(
    methods.Card(name="asks_for_a_batch_in_vain", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="several", equation="w")
)
class Broken(methods.BilevelMethod):
    extra_batches = 1

    def weights(self, ahead):
        return torch.arange(1.0, self.num_tasks + 1)
