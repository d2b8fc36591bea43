# breaks: events
import methods


@methods.register(
    methods.Card(name="counts_what_did_not_happen", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        self.count("gave_up")
        return gramian.diagonal() ** -0.25
