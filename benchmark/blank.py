"""The file that a new method begins as: one text with holes, and what each family puts into them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What differs from family to family."""

    base: str
    equation: str
    idea: str
    """The example's, in a line."""
    given: str
    """What the one function is given and returns: a comment."""
    signature: str
    body: str


PARTS = {
    "loss": Part(
        base="LossMethod",
        equation="Σ arsinh(L_t), so that w_t = 1 / √(1 + L_t²)",
        idea="Large losses count by their logarithm, small ones as they are.",
        given="losses [T]: this step's losses, with their graph. Returns the scalar to minimise; one backward pass follows.\n"
        "    # Parameters of its own are stepped by learn(self, gradients): methods/awl.py has some.",
        signature="objective(self, losses: Tensor) -> Tensor",
        body="losses.asinh().sum()",
    ),
    "gramian": Part(
        base="GramianMethod",
        equation="w_t = 1 / √n_t, n_t = ‖g_t‖",
        idea="Long task gradients are shortened, but not all the way to unit length.",
        given="G = J Jᵀ [T, T] in float64 on the host, row t of J being task t's gradient; losses [T], detached. Returns weights [T].\n"
        '    # T without the tasks whose gradient is zero: state of a number a task wants zero_rows = "seen" in this class.',
        signature="weights(self, gramian: Tensor, losses: Tensor) -> Tensor",
        body="gramian.diagonal() ** -0.25",
    ),
    "jacobian": Part(
        base="JacobianMethod",
        equation="d_p = mean_t(sign J_tp) · mean_t |J_tp|",
        idea="In every coordinate the tasks vote on the sign, and a split vote makes a short step.",
        given="J [T, P]: row t is task t's gradient; losses [T], detached. Returns the direction [P] that takes the gradient's place.",
        signature="direction(self, jacobian: Tensor, losses: Tensor) -> Tensor",
        body="jacobian.sign().mean(0) * jacobian.abs().mean(0)",
    ),
}

TEMPLATE = '''"""{idea} Replace the equation by yours: the rest is done for you.

Gradients, .grad, heads, priorities, scales, absent tasks and losses that are not finite are dealt with by the base class.
"""

from torch import Tensor

import methods


@methods.register(
    # Read without running this file, so every value is written out in place. CONTRIBUTING.md has the fields that are not here.
    methods.Card(
        name="{name}",
        version=1,  # raise it whenever the same input gives another update
        title="{title}",
        paper="unpublished",  # authors, title, venue and year
        year={year},
        family="{family}",
        equation="{equation}",
        # methods.Hyperparameter("alpha", 1.5, "what it does", low=0.0, sweep=(0.1, 10.0), log=True) becomes self.alpha.
        hyperparameters=(),
        # What `validate` then checks: permutation_equivariant, loss_scale_invariant, non_conflicting, simplex, degree_0, ...
        claims=("permutation_equivariant",),
    )
)
class {class_name}(methods.{base}):
    """{idea}"""

    # State goes into buffers and parameters that `def setup(self)` registers, so that a run can be saved and continued; randomness comes
    # from self.generator; trouble is counted with self.count("what_happened").

    # {given}
    def {signature}:
        return {body}
'''


def text(name: str, family: str, year: int) -> str:
    """The file for a method of this name, an identifier of small letters; ``family`` is a key of :data:`PARTS`."""
    part = PARTS[family]
    words = name.split("_")
    return TEMPLATE.format(
        name=name,
        family=family,
        year=year,
        title=" ".join(words).capitalize(),
        class_name="".join(word.capitalize() for word in words if word),
        base=part.base,
        equation=part.equation,
        idea=part.idea,
        given=part.given,
        signature=part.signature,
        body=part.body,
    )
