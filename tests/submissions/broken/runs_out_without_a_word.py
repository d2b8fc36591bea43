# breaks: memory
import methods


@methods.register(
    methods.Card(name="runs_out_without_a_word", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="gramian", equation="w")
)
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        raise MemoryError
