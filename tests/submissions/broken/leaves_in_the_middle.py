# breaks: ended
import os

import methods


@methods.register(
    methods.Card(name="leaves_in_the_middle", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        os._exit(0)
