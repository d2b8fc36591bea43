# breaks: ended
import ctypes

import methods


@methods.register(
    methods.Card(name="crashes", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return ctypes.string_at(0)
