import methods


@methods.register(
    methods.Card(name="longest_gradient", version=1, title="", paper="", year=2026, family="jacobian", equation="", claims=("degree_1",))
)
class Honest(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return jacobian[jacobian.norm(dim=1).argmax()]
