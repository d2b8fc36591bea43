"""Toy C1: every end that the independent simulation printed, at both published scales, and what of LossBench ends there.

The table has the simulation's own numbers. An end is reached if both losses are within 1 % of the front's extent (``WITHIN``); five are
held to less, with the reason (``LOOSER``). Gradients and weights are those of LossBench, in double precision on the host, without the
harness (for which see ``test_two_objective``); Adam with a learning rate of 1e-3, as in the papers.

Most ends are those of the registry's methods. The others are those of variants in ``scripts/reproduce/two_task_simulation.py``, which
differ from the registry's methods in a detail (``BY_VARIANT``), for these reasons:

- Nash-MTL, and FairGrad with alpha = 1, which has its objective and is printed as the same row: from (0, 0) both gradients lie along x2,
  and while x1 = 0 the landscape is its own mirror image but for the scale of L1, which means nothing to them. They keep x1 = 0 and end in
  the balanced point. 1e-12 added to the norms breaks the tie. Elsewhere their direction has the length √2 however close the front is, and
  the last steps hop along it.
- FairGrad with alpha = 2 takes longer steps as gradients shrink, and wanders along the front where a direction of unit length rests.
- From (9, 9) the way leads along a valley with a logarithmic singularity in its floor, whose steep gradients stay in Adam's second moment
  for thousands of steps. CAGrad at s = 0.1 is not through after 50,000 steps, nor in the figure of Nash-MTL; with weights of sum 1 it is.

What the registry's methods do in those cells is held, too (``OURS``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch

import methods
import tasks
from methods.families import GramianMethod, LossWeighting
from tasks.two_objective import TwoObjective, losses
from tests.e2e.conftest import as_between_programs

Pair = tuple[float, float]
Cell = tuple[str, str, int]
"""Problem, row and start."""

NASH = "two_objective"
CAGRAD = "two_objective_cagrad"
ROWS: dict[str, tuple[str, dict[str, float]]] = {
    "LS": ("equal", {}),
    "RLW": ("rlw", {}),
    "PCGrad": ("pcgrad", {}),
    "CAGrad c=.4": ("cagrad", {"c": 0.4}),
    "CAGrad c=.5": ("cagrad", {"c": 0.5}),
    "MGDA": ("mgda", {}),
    "IMTL-G": ("imtl_g", {}),
    "Nash": ("nash_mtl", {}),
    "FairGrad a=1": ("fairgrad", {"alpha": 1.0}),
    "FairGrad a=2": ("fairgrad", {"alpha": 2.0}),
    "FAMO": ("famo", {"gamma": 0.0}),
}
STUCK = None
"""Not on the front at the end: in the valley, or still on the way through it. Printed as a point, which was moving."""
UNDEFINED = (0.0, 0.0)
"""0/0: where the simulation started it stayed."""
PRINTED: dict[str, dict[str, tuple[Pair | None, ...]]] = {
    NASH: {  # from (-8.5, 7.5), (0, 0), (9, 9), (-7.5, -.5), (9, -1); s = 0.1, 50,000 steps
        "LS": ((-0.38, -19.83), (-0.38, -19.83), STUCK, (-0.38, -19.83), (-0.38, -19.83)),
        "RLW": ((-0.38, -19.83), (-0.38, -19.83), STUCK, (-0.37, -19.84), (-0.39, -19.82)),
        "PCGrad": ((-0.70, -19.33), (-0.93, -18.66), STUCK, (-0.83, -18.98), (-1.96, -5.65)),
        "CAGrad c=.4": ((-0.38, -19.83), (-0.38, -19.83), (-0.38, -19.83), (-0.38, -19.83), (-0.38, -19.83)),
        "MGDA": ((-1.19, -17.47), (-1.99, -2.85), (-2.00, -0.46), (-0.73, -19.24), (-2.00, -0.41)),
        "IMTL-G": ((-1.13, -17.81), UNDEFINED, (-1.79, -11.06), (-0.92, -18.69), (-1.97, -4.87)),
        "Nash": ((-1.00, -18.37), (-1.21, -17.36), (-1.82, -10.40), (-0.93, -18.65), (-1.95, -6.17)),
        "FairGrad a=2": ((-1.13, -17.82), (-1.89, -8.48), (-1.93, -7.26), (-0.84, -18.95), (-1.99, -3.32)),
        "FAMO": ((-1.44, -15.75), (-1.52, -14.98), (-1.56, -14.60), (-1.37, -16.33), (-1.73, -12.32)),
    },
    CAGRAD: {  # from (-8.5, 7.5), (-8.5, -5), (9, 9); s = 1, 100,000 steps
        "LS": (STUCK, (-15.09, -15.09), STUCK),
        "PCGrad": ((-11.65, -17.62), (-2.05, -19.95), (-18.90, -8.54)),
        "CAGrad c=.5": ((-15.09, -15.09), (-15.09, -15.09), (-15.09, -15.09)),
        "MGDA": ((-9.34, -18.64), (-0.42, -19.99), (-18.64, -9.33)),
        "Nash": ((-10.21, -18.30), (-2.02, -19.95), (-18.31, -10.20)),
    },
}
STEPS = {NASH: 50_000, CAGRAD: 100_000}
EXTENT = 19.6
"""Of the front, in L1/s and in L2."""
WITHIN = 0.2
"""1 % of it, to the rounding of what is printed."""
LOOSER: dict[Cell, float] = {
    # Where PCGrad meets the front is decided in the valley, by rounding: so far from what is printed an independent implementation ends in
    # twenty runs with the start moved by up to 1e-6 and Adam's epsilon by up to a fifth (scripts/reproduce/two-objective.toml).
    (NASH, "PCGrad", 0): 0.06 * EXTENT,
    (CAGRAD, "PCGrad", 0): 0.17 * EXTENT,
    (CAGRAD, "PCGrad", 2): 0.16 * EXTENT,
    # The last steps hop across the front: such runs end from (-1.124, -17.83) to (-1.169, -17.60).
    (NASH, "IMTL-G", 0): 0.02 * EXTENT,
    # It hangs on Adam's epsilon: 1e-8 ends at (-1.465, -15.51), 1.1e-8 at (-1.434, -15.79).
    (NASH, "FAMO", 0): 0.02 * EXTENT,
}
BY_VARIANT: dict[Cell, tuple[str, dict[str, float]]] = {
    (NASH, "CAGrad c=.4", 2): ("cagrad_unit", {"c": 0.4}),
    **{(NASH, "Nash", start): ("nash_mtl_guarded", {}) for start in (1, 2, 3, 4)},
    **{(NASH, "FairGrad a=2", start): ("fairgrad_unit", {"alpha": 2.0}) for start in (0, 1, 3, 4)},
    (CAGRAD, "Nash", 1): ("nash_mtl_guarded", {}),
}
BALANCED = (-1.509, -15.09)
OURS: dict[Cell, tuple[Pair | None, float]] = {
    # On the front elsewhere, within so much of it; or stuck. FairGrad with alpha = 1 from every start: it has no row of its own above.
    (NASH, "FairGrad a=1", 0): ((-1.014, -18.33), WITHIN),
    (NASH, "CAGrad c=.4", 2): (STUCK, 0.0),
    (NASH, "IMTL-G", 1): (BALANCED, WITHIN),
    **{(NASH, row, 1): (BALANCED, WITHIN) for row in ("Nash", "FairGrad a=1")},
    **{(NASH, row, 2): ((-1.832, -10.16), WITHIN) for row in ("Nash", "FairGrad a=1")},
    **{(NASH, row, 3): ((-0.949, -18.58), WITHIN) for row in ("Nash", "FairGrad a=1")},
    **{(NASH, row, 4): ((-1.954, -5.89), WITHIN) for row in ("Nash", "FairGrad a=1")},
    (NASH, "FairGrad a=2", 0): ((-0.997, -18.40), 0.04 * EXTENT),
    (NASH, "FairGrad a=2", 1): ((-1.881, -8.83), 0.02 * EXTENT),
    (NASH, "FairGrad a=2", 3): ((-0.892, -18.78), 0.02 * EXTENT),
    (NASH, "FairGrad a=2", 4): ((-1.983, -3.81), 0.02 * EXTENT),
    (CAGRAD, "Nash", 1): ((-2.95, -19.90), 0.04 * EXTENT),  # at -1.63 after 5,000 steps and -2.00 after 30,000
}
EVERY_TIME = {(NASH, "LS", 0), (NASH, "LS", 2), (NASH, "IMTL-G", 1), (NASH, "FAMO", 1), (CAGRAD, "LS", 1)}
"""A few seconds a run: the common end, one that gets stuck, one by the Gramian, one by the losses after the step, and the balanced point.
The others are slow."""


class Adam:
    """The published optimizer on two numbers, without what a tensor costs."""

    def __init__(self, rate: float = 1e-3) -> None:
        self.rate, self.steps = rate, 0
        self.first, self.second = [0.0, 0.0], [0.0, 0.0]

    def step(self, x: list[float], gradient: Pair) -> None:
        self.steps += 1
        bias1, bias2 = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        for axis, slope in enumerate(gradient):
            self.first[axis] += 0.1 * (slope - self.first[axis])
            self.second[axis] += 0.001 * (slope * slope - self.second[axis])
            x[axis] -= self.rate / bias1 * self.first[axis] / (math.sqrt(self.second[axis] / bias2) + 1e-8)


def descend(problem: TwoObjective, start: int, method: str, settings: dict[str, float], steps: int) -> tasks.Evaluation:
    """Trains from that start and says where it ended."""
    scale, x, adam = problem.scale, list(problem.start(start)), Adam()
    balancer = methods.create(method, 2, **settings)  # type: ignore[arg-type]
    # FAMO takes logarithms of what is above the least that a loss can be; its authors subtract these.
    floor = torch.tensor([-21 * scale, -21], dtype=torch.float64)
    for _ in range(steps):
        value, a, b = losses(x[0], x[1], scale)
        if isinstance(balancer, GramianMethod):
            across = a[0] * b[0] + a[1] * b[1]
            gramian = torch.tensor([[a[0] ** 2 + a[1] ** 2, across], [across, b[0] ** 2 + b[1] ** 2]], dtype=torch.float64)
            first, second = balancer.weights(gramian, torch.tensor(value, dtype=torch.float64)).tolist()
        else:
            assert isinstance(balancer, LossWeighting)
            first, second = balancer.weights(torch.tensor(value, dtype=torch.float64) - floor).tolist()
        adam.step(x, (first * a[0] + second * b[0], first * a[1] + second * b[1]))
        if balancer.reforward:
            assert isinstance(balancer, LossWeighting)
            balancer.observe(torch.tensor(losses(x[0], x[1], scale)[0], dtype=torch.float64) - floor)
    assert not balancer.events
    session = problem.open(seed=0, batch_size=1)
    session.model.get_parameter("x").data.copy_(torch.tensor(x))
    return session.evaluate("test")


def assert_ends(cell: Cell, method: tuple[str, dict[str, float]], end: Pair | None, within: float) -> None:
    name, _, start = cell
    problem = tasks.problem(name)
    assert isinstance(problem, TwoObjective)
    result = descend(problem, start, *method, STEPS[name])
    if end is STUCK:
        assert result.metrics["front_distance"] > 1
        return
    assert result.metrics["front_distance"] < 0.05
    first, second = result.losses
    assert (first / problem.scale, second) == pytest.approx((end[0] / problem.scale, end[1]), abs=within)


ENDS: dict[Cell, Pair | None] = {
    (name, row, start): end for name, rows in PRINTED.items() for row, ends in rows.items() for start, end in enumerate(ends)
}


def cases(cells: Iterable[Cell]) -> list[object]:
    return [pytest.param(cell, id="-".join(map(str, cell)), marks=() if cell in EVERY_TIME else pytest.mark.slow) for cell in cells]


@pytest.fixture(scope="module", autouse=True)
def variants() -> Iterator[None]:
    with as_between_programs():
        methods.load(Path(__file__).parents[2] / "scripts/reproduce/two_task_simulation.py")
        yield


@pytest.mark.parametrize("cell", cases(cell for cell, end in ENDS.items() if end is not UNDEFINED))
def test_every_start_ends_where_the_simulation_says(cell: Cell) -> None:
    assert_ends(cell, BY_VARIANT.get(cell, ROWS[cell[1]]), ENDS[cell], LOOSER.get(cell, WITHIN))


@pytest.mark.parametrize("cell", cases(OURS))
def test_where_the_registrys_methods_end_instead(cell: Cell) -> None:
    assert_ends(cell, ROWS[cell[1]], *OURS[cell])


def test_the_gradients_are_parallel_where_imtl_g_is_undefined_in_the_simulation() -> None:
    """Its equations for any number of tasks divide 0 by 0 from (0, 0). The closed form for two does not, and goes on: ``OURS``."""
    problem = tasks.problem(NASH)
    assert isinstance(problem, TwoObjective)
    _, a, b = problem.losses(problem.start(1))
    assert [a[0] / math.hypot(*a), a[1] / math.hypot(*a)] == [b[0] / math.hypot(*b), b[1] / math.hypot(*b)]  # D = 0, w = 0/D


def test_every_cell_that_is_not_the_registrys_says_where_the_registrys_ends() -> None:
    unprinted = {cell for cell in OURS if cell not in ENDS}
    assert unprinted == {(NASH, "FairGrad a=1", start) for start in range(5)}
    assert set(OURS) - unprinted == set(BY_VARIANT) | {cell for cell, end in ENDS.items() if end is UNDEFINED}
    assert not set(LOOSER) & set(BY_VARIANT)
