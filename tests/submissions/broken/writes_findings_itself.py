# breaks: ended
import contextlib
import os

import methods


@methods.register(
    methods.Card(name="writes_findings_itself", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        for file in range(3, 32):
            with contextlib.suppress(OSError):
                os.write(file, b'\x05\x00\x00\x00' + bytes(16) + b'mfake!')
        return losses.sum()
