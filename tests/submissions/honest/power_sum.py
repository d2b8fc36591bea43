import methods


@methods.register(
    methods.Card(
        name="power_sum",
        version=1,
        title="Submitted",
        paper="Nobody, 2026",
        year=2026,
        family="loss",
        equation="w",
        claims=("permutation_equivariant",),
    )
)
class Honest(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
