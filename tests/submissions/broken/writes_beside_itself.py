# breaks: files
from pathlib import Path

import methods


Path(__file__).with_suffix('.log').write_text('I was here')


@methods.register(
    methods.Card(name="writes_beside_itself", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
