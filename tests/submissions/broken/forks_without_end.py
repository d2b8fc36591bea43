# breaks: programs
import os

import methods


@methods.register(
    methods.Card(name="forks_without_end", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        while True:
            os.fork()
