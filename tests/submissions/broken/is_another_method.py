# breaks: differs
import methods


@methods.register(
    methods.Card(name="is_another_method", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w", positive_losses=True)
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.log().sum()
