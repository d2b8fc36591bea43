"""The contract's small network, for tests."""

from methods.contract.nets import Net, build, flat, grads

__all__ = ["Net", "build", "flat", "grads"]
