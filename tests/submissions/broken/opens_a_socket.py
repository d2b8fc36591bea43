# breaks: network
import socket

import methods


socket.create_connection(('192.0.2.1', 443), timeout=1)


@methods.register(
    methods.Card(name="opens_a_socket", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        return losses.pow(3).sum()
