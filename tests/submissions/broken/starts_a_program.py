# breaks: programs
import subprocess

import methods


@methods.register(
    methods.Card(name="starts_a_program", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        subprocess.run(['touch', 'somewhere'], check=True)
        return losses.sum()
