# breaks: import
import methods


raise RuntimeError('not today')


@methods.register(
    methods.Card(name="raises_at_import", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
