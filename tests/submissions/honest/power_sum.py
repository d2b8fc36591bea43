import methods


@methods.register(
    methods.Card(
        name="power_sum", version=1, title="", paper="", year=2026, family="loss", equation="", claims=("permutation_equivariant",)
    )
)
class Honest(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
