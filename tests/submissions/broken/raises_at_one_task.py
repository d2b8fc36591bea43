# breaks: finite
import methods


@methods.register(
    methods.Card(name="raises_at_one_task", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return 1 / gramian.diagonal().sqrt() / (len(losses) > 1 or [][0])
