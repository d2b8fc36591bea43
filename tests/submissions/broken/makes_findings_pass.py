# breaks: report
import methods

from methods.contract import Finding

init = Finding.__init__
Finding.__init__ = lambda self, check, status, message, seconds: init(self, check, "passed", message, seconds)



@methods.register(
    methods.Card(name="makes_findings_pass", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.sum() * float("nan")
