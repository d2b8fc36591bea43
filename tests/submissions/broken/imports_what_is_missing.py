# breaks: import
import no_such_package_xyz

import methods


@methods.register(
    methods.Card(name="imports_what_is_missing", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
