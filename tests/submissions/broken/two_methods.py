# breaks: file
import methods


@methods.register(
    methods.Card(name="one", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class One(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()


@methods.register(
    methods.Card(name="two", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Two(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
