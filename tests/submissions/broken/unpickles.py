# breaks: pickle
import pickle

import methods


pickle.loads(b'cfractions\nFraction\n)R.')


@methods.register(
    methods.Card(name="unpickles", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
