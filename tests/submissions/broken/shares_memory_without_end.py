# breaks: memory
import mmap

import methods


@methods.register(
    methods.Card(name="shares_memory_without_end", version=1, title="", paper="", year=2026, family="loss", equation="")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        kept = mmap.mmap(-1, 1 << 36)
        while True:
            kept.write(bytes(1 << 24))
