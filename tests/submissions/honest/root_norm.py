import methods


@methods.register(
    methods.Card(
        name="root_norm",
        version=1,
        title="",
        paper="",
        year=2026,
        family="gramian",
        equation="",
        hyperparameters=(methods.Hyperparameter("power", 0.5, "of the norm", low=0.0, high=1.0),),
        claims=("permutation_equivariant",),
    )
)
class Honest(methods.GramianMethod):
    def weights(self, gramian, losses):
        return gramian.diagonal().sqrt() ** self.power
