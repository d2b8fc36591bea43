# breaks: needs
import methods


@methods.register(
    methods.Card(name="needs_what_it_does_not_use", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w", needs=("initial_losses",))
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.square().sum()
