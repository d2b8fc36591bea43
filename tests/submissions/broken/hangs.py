# breaks: time
import methods


@methods.register(
    methods.Card(name="hangs", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        while True:
            pass
