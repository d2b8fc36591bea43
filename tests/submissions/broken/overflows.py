# breaks: finite
import methods


@methods.register(
    methods.Card(name="overflows", version=1, title="", paper="", year=2026, family="jacobian", equation="")
)
class Broken(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return (jacobian.float().norm(dim=1) ** 8 @ jacobian.float()).to(jacobian)
