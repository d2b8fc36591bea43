# breaks: programs
import subprocess

import methods


@methods.register(
    methods.Card(name="starts_a_program", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        subprocess.run(['touch', 'somewhere'], check=True)
        return losses.sum()
