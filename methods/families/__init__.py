"""The families. They own what methods would otherwise copy: gradients, ``.grad``, priorities, scale, the protection of state.

A method sees the T losses of a step (:class:`LossMethod`), or the Gramian of the task gradients as well (:class:`GramianMethod`), or their
whole Jacobian (:class:`JacobianMethod`), and says how the T losses become one update. Its file holds that equation and nothing else.
Methods that need further batches, or losses at other parameters, are in :mod:`methods.families.several`.
"""

from methods.base import Method, Step
from methods.families.gradient import GradientMethod
from methods.families.gramian import GramianMethod, Host
from methods.families.jacobian import JacobianMethod
from methods.families.loss import LossMethod, LossWeighting

__all__ = ["GradientMethod", "GramianMethod", "Host", "JacobianMethod", "LossMethod", "LossWeighting", "Method", "Step"]
