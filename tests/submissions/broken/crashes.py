# breaks: ended
import ctypes

import methods


@methods.register(
    methods.Card(name="crashes", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return ctypes.string_at(0)
