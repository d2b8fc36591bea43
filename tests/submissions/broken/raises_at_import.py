# breaks: import
import methods


raise RuntimeError('not today')


@methods.register(
    methods.Card(name="raises_at_import", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
