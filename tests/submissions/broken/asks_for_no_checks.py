# breaks: report
import sys

import msgspec

import methods

from methods import contract

frame = sys._getframe()
while "order" not in frame.f_locals:
    frame = frame.f_back
msgspec.structs.force_setattr(frame.f_locals["order"], "skip", tuple(check.name for check in contract.checks()))



@methods.register(
    methods.Card(name="asks_for_no_checks", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.sum() * float("nan")
