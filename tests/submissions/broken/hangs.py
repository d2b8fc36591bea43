# breaks: time
import methods


@methods.register(
    methods.Card(name="hangs", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        while True:
            pass
