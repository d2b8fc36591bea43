# breaks: improves
import methods


@methods.register(
    methods.Card(name="climbs", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return -(gramian.diagonal() ** -0.25)
