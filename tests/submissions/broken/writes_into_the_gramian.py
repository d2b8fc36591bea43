# breaks: inputs_untouched
import methods


@methods.register(
    methods.Card(name="writes_into_the_gramian", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        gramian /= gramian.diagonal().sum() + 1
        return 1 / (1 + gramian.diagonal())
