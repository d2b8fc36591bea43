# breaks: file
import methods


@methods.register(
    methods.Card(name="one", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class One(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()


@methods.register(
    methods.Card(name="two", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Two(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
