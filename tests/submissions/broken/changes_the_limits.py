# breaks: report
import methods

from methods.contract import differs, shapes

differs.SAME = differs.APART = -1.0
shapes.TASKS = ()



@methods.register(
    methods.Card(name="changes_the_limits", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.sum()
