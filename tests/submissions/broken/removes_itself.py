# breaks: files
import os

import methods


os.remove(__file__)


@methods.register(
    methods.Card(name="removes_itself", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
