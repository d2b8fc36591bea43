# breaks: programs
import os

import methods


@methods.register(
    methods.Card(name="forks_without_end", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        while True:
            os.fork()
