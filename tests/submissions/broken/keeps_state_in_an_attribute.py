# breaks: state
import methods


@methods.register(
    methods.Card(name="keeps_state_in_an_attribute", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def setup(self):
        self.mean = 0.0

    def weights(self, gramian, losses):
        self.mean = 0.9 * self.mean + 0.1 * gramian.diagonal()
        return 1 / (1 + self.mean)
