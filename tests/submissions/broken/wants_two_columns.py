# breaks: shapes
import methods


@methods.register(
    methods.Card(name="wants_two_columns", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="jacobian", equation="w")
)
class Broken(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return jacobian.mean(0) * jacobian[0, 1].sign().abs()
