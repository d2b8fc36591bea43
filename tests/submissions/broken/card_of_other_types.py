# breaks: file
import methods


@methods.register(
    methods.Card(name="card_of_other_types", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w", claims=["simplex"])
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.square().sum()
