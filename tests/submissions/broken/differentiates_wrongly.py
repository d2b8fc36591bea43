# breaks: derivatives
import methods


@methods.register(
    methods.Card(name="differentiates_wrongly", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(2).sum()

    def derivatives(self, losses):
        return losses, ()
