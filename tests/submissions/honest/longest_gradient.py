import methods


@methods.register(
    methods.Card(
        name="longest_gradient",
        version=1,
        title="Submitted",
        paper="Nobody, 2026",
        year=2026,
        family="jacobian",
        equation="w",
        claims=("degree_1",),
    )
)
class Honest(methods.JacobianMethod):
    def direction(self, jacobian, losses):
        return jacobian[jacobian.norm(dim=1).argmax()]
