# breaks: files
import glob

import methods


print(open('STORE/.netrc').read(), glob.glob('/root/*'))


@methods.register(
    methods.Card(name="reads_a_home", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
