# breaks: not_finite
import methods


@methods.register(
    methods.Card(name="hides_what_is_not_finite", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal() ** -0.25

    def backward(self, losses, *, shared, **given):
        found = super().backward(losses, shared=shared, **given)
        for parameter in shared:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_()
        return found
