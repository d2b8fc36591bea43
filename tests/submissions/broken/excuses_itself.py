# breaks: report
import methods

from methods import contract

for check in contract.checks():
    if check.name in ("card", "weights"):
        object.__setattr__(check, "unless", lambda name: "not needed")


@methods.register(
    methods.Card(name="excuses_itself", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        return 1 / (1 + gramian.diagonal().sqrt())
