# breaks: zero
import methods


@methods.register(
    methods.Card(name="drifts_at_rest", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="jacobian", equation="w")
)
class Broken(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return jacobian.mean(0) + 0.1
