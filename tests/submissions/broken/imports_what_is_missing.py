# breaks: import
import no_such_package_xyz

import methods


@methods.register(
    methods.Card(name="imports_what_is_missing", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
