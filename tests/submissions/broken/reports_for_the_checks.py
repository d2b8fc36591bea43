# breaks: report
import sys

import methods
from methods.contract import Finding


frame = sys._getframe()
while 'report' not in frame.f_locals:
    frame = frame.f_back
frame.f_locals['report'](Finding('zero', 'passed', '', 0.1))


@methods.register(
    methods.Card(name="reports_for_the_checks", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
