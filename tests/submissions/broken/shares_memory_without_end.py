# breaks: memory
import mmap

import methods


@methods.register(
    methods.Card(name="shares_memory_without_end", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        kept = mmap.mmap(-1, 1 << 36)
        while True:
            kept.write(bytes(1 << 24))
