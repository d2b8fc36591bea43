# breaks: card
import methods


@methods.register(
    methods.Card(name="leaves_its_card_empty", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation=" ")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
