# breaks: unreached
import torch

import methods


@methods.register(
    methods.Card(name="fills_in_gradients", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal() ** -0.25

    def backward(self, losses, *, shared, **given):
        shared = list(shared)
        found = super().backward(losses, shared=shared, **given)
        for parameter in shared:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return found
