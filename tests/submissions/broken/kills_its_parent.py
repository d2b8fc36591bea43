# breaks: programs
import os

import methods


os.kill(os.getppid(), 9)


@methods.register(
    methods.Card(name="kills_its_parent", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
