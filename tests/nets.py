"""The contract's small network, for tests."""

from methods.contract.nets import Net, backward, build, flat, grads

__all__ = ["Net", "backward", "build", "flat", "grads"]
