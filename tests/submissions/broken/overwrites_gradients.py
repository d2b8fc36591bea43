# breaks: other_gradients
import methods


@methods.register(
    methods.Card(name="overwrites_gradients", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal() ** -0.25

    def backward(self, losses, *, shared, **given):
        shared = list(shared)
        for parameter in shared:
            parameter.grad = None
        return super().backward(losses, shared=shared, **given)
