# breaks: finite
import methods


@methods.register(
    methods.Card(name="overflows", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="jacobian", equation="w")
)
class Broken(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return (jacobian.float().norm(dim=1) ** 8 @ jacobian.float()).to(jacobian)
