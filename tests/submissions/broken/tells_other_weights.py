# breaks: weights
from dataclasses import replace

import methods


@methods.register(
    methods.Card(name="tells_other_weights", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal() ** -0.25

    def backward(self, losses, **given):
        found = super().backward(losses, **given)
        return replace(found, weights=found.weights * 2)
