# breaks: tasks
import methods


@methods.register(
    methods.Card(name="raises_at_forty_tasks", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        if len(losses) > 30:
            raise IndexError("too many tasks")
        return 1 / (1 + gramian.diagonal().sqrt())
