# breaks: files
import os

import methods


os.remove(__file__)


@methods.register(
    methods.Card(name="removes_itself", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
