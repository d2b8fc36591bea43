# breaks: global_state
import torch

import methods


@methods.register(
    methods.Card(name="puts_the_random_state_back", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        before = torch.get_rng_state()
        found = torch.rand(len(losses), dtype=gramian.dtype)
        torch.set_rng_state(before)
        return found
