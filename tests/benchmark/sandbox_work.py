"""Work for test_sandbox: runs the Python that it is given."""

from benchmark.sandbox import Send


def work(argument: bytes, send: Send) -> None:
    exec(argument.decode(), {"send": send})
