"""Toy C1 through the whole harness: every start ends where an independent simulation says (Adam 1e-3, L1 scaled by 0.1).

Equal weights need 50,000 steps to slide along the front to their optimum; PCGrad and MGDA stop where they first meet it, within 25,000.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import tasks
from benchmark.records import RunRecord
from benchmark.store import Store
from tasks.two_objective import TwoObjective
from tests.e2e.conftest import Cli
from tests.e2e.test_ends import descend

SUITE = """
name = "ends"
version = 1
summary = "where each method ends from the five published starts"

[protocol]
seeds = {seeds}
evaluations = 2
selection = "last"

[[problems]]
name = "two_objective"
steps = {steps}
learning_rate = 0.001
"""

STUCK = None
# (L1, L2) by start; STUCK in the valley at (9, 9), from where equal weights never get away and PCGrad is still moving after 50,000 steps.
TABULATED = {
    "equal": [(-0.38, -19.83), (-0.38, -19.83), STUCK, (-0.38, -19.83), (-0.38, -19.83)],
    "pcgrad": [(-0.70, -19.33), (-0.93, -18.66), STUCK, (-0.83, -18.98), (-1.96, -5.65)],
    "mgda": [(-1.19, -17.47), (-1.99, -2.85), (-2.00, -0.46), (-0.73, -19.24), (-2.00, -0.41)],
}
WITHIN = (0.02, 0.2)
"""Tolerances of L1 and L2, about 1 % of the front's extent in each."""
ON_FRONT = 0.05


def ends(cli: Cli, folder: Path, methods: str, steps: int, seeds: int) -> dict[tuple[str, int], RunRecord]:
    (folder / f"{steps}.toml").write_text(SUITE.format(steps=steps, seeds=seeds), encoding="utf-8")
    results = folder / str(steps)
    ran = cli("run", "--suite", folder / f"{steps}.toml", "--methods", methods, "--no-baselines", "--results", results)
    assert ran.returncode == 0, ran.stderr
    return {(record.spec.method, record.spec.seed): record for record in Store(results).scan().records}


def test_the_harness_goes_the_way_that_leads_there(cli: Cli, tmp_path: Path) -> None:
    """Its first steps are those written out in double precision, which end where they should (test_ends.py)."""
    problem, steps = tasks.problem("two_objective"), 300
    assert isinstance(problem, TwoObjective)
    found = ends(cli, tmp_path, ",".join(TABULATED), steps, seeds=2)
    assert len(found) == 6
    for (method, seed), record in found.items():
        start, way = (descend(problem, seed, method, {}, count).losses for count in (0, steps))
        reached = record.test["first/loss"], record.test["second/loss"]
        assert reached == pytest.approx(way, rel=1e-4, abs=1e-4), (method, seed)
        assert max(abs(one - other) for one, other in zip(start, way, strict=True)) > 0.01, (method, seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "steps", "seeds"),
    [
        ("equal", 50_000, 5),
        ("pcgrad,mgda", 25_000, 5),
    ],
)
def test_every_start_ends_where_the_simulation_says(methods: str, steps: int, seeds: int, cli: Cli, tmp_path: Path) -> None:
    found = ends(cli, tmp_path, methods, steps, seeds)
    assert len(found) == seeds * len(methods.split(","))
    for (method, seed), record in found.items():
        assert record.status == "ok"
        first, second, distance = (record.test[key] for key in ("first/loss", "second/loss", "front_distance"))
        expected = TABULATED[method][seed]
        if expected is STUCK:
            assert distance > 1.0, (method, seed)
        else:
            assert distance < ON_FRONT, (method, seed, distance)
            assert abs(first - expected[0]) < WITHIN[0], (method, seed, first)
            assert abs(second - expected[1]) < WITHIN[1], (method, seed, second)
