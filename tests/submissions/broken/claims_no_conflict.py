# breaks: claims
import methods


@methods.register(
    methods.Card(name="claims_no_conflict", version=1, title="", paper="", year=2026, family="gramian", equation="", claims=("non_conflicting",))
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal().sqrt()
