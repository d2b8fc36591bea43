import methods


@methods.register(
    methods.Card(
        name="root_norm",
        version=1,
        title="Submitted",
        paper="Nobody, 2026",
        year=2026,
        family="gramian",
        equation="w",
        hyperparameters=(methods.Hyperparameter("power", 0.5, "of the norm", low=0.0, high=1.0),),
        claims=("permutation_equivariant",),
    )
)
class Honest(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal().sqrt() ** self.power
