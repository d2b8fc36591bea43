# breaks: report
import methods
from methods import contract


contract._made = lambda check, name: contract.Finding(check.name, 'passed', '', 0.1)


@methods.register(
    methods.Card(name="replaces_the_checks", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.sum() * float("nan")
