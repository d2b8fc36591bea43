# breaks: claims
import methods


@methods.register(
    methods.Card(name="claims_no_conflict", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w", claims=("non_conflicting",))
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal().sqrt()
