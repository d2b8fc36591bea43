# breaks: report
import methods

from methods import contract
from methods.contract import table

made = contract._made


def passed(check, name):
    if check is table.CHECKS[-1]:
        contract._made = made
    return contract.Finding(check.name, "passed", "", 0.1)


contract._made = passed



@methods.register(
    methods.Card(name="replaces_the_checks_for_a_while", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.sum() * float("nan")
