# breaks: output
import os

import methods


@methods.register(
    methods.Card(name="prints_secrets", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def setup(self):
        print({name: value for name, value in os.environ.items() if 'TOKEN' in name})

    def objective(self, losses):
        return losses.pow(3).sum()
