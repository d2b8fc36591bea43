"""The measurement of the solvers alone: a tiny run end to end, and that it would notice a wrong answer."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # the test process keeps its own
    return importlib.import_module("bench_solvers")


def test_a_tiny_run_end_to_end(bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--methods", "mgda,upgrad,pcgrad", "--tasks", "2,3", "--regimes", "conflict;rank 3", "--rounds", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["bench_solvers", *given])
    bench.main()
    with (tmp_path / "solvers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["tasks"], row["regime"]) for row in rows} == {
        (method, tasks, regime) for method in ("mgda", "upgrad", "pcgrad") for tasks in "23" for regime in ("conflict", "rank 3")
    }
    for row in rows:
        assert 0 < float(row["us_min"]) <= float(row["us_median"]) <= float(row["us_q3"])
        worst = [float(row[f"residual_{scale}"]) for scale in ("1e-6", "1", "1e6")]
        assert np.isnan(worst).all() if row["method"] == "pcgrad" else max(worst) <= 1e-9
    text = (tmp_path / "solvers.md").read_text(encoding="utf-8")
    assert text.startswith("# What the solvers cost alone")
    assert text.count("\n| upgrad | ") == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--methods", "mgda,gls"], "'gls' is none of: mgda,dualproj,"),
        (["--methods", ","], "',' is none of: mgda,"),
        (["--regimes", "mlp;nonsense"], "'nonsense' is none of: mlp;conflict;"),
        (["--tasks", "2,x"], "'2,x'; expected numbers of tasks, 2 or more"),
        (["--tasks", "1"], "'1'; expected numbers of tasks, 2 or more"),
        (["--rounds", "1"], "'1'; expected a whole number of 2 or more"),
        (["--out", __file__], "expected a folder that is there or can be made"),
        (["--out", f"{__file__}/x"], "expected a folder that is there or can be made"),
    ],
)
def test_bad_input_is_one_line(
    bench: ModuleType, given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_solvers", *given])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "method", ["mgda", "dualproj", "cagrad", "nash_mtl", "fairgrad", "aligned_mtl", "imtl_g", "config", "upgrad", "pcd"]
)
def test_weights_that_are_a_little_off_have_a_residual(bench: ModuleType, method: str) -> None:
    (case,) = bench.cases([method], [3], ["conflict"])
    gramian = case.gramians[0]
    problem = bench.Problem(gramian.numpy().astype(np.longdouble), case.eps)
    weights = case.balancer().weights(gramian, torch.ones(3, dtype=torch.float64)).numpy().astype(np.longdouble)
    off = weights * (1 + 1e-3 * np.arange(3))
    if method == "upgrad":  # its projections are checked one by one; the mean of them must be the weights
        with pytest.raises(AssertionError):
            bench.RESIDUALS[method](problem, off)
    else:
        assert bench.RESIDUALS[method](problem, weights) <= 1e-9 < 1e-5 < bench.RESIDUALS[method](problem, off)


@pytest.mark.parametrize("method", ["nash_mtl", "fairgrad", "imtl_g", "config"])
def test_no_weights_at_all_are_right_only_where_the_gradients_cancel(bench: ModuleType, method: str) -> None:
    for regime, optimal in (("conflict", False), ("antiparallel", True)):
        (case,) = bench.cases([method], [4], [regime])
        problem = bench.Problem(case.gramians[0].numpy().astype(np.longdouble), case.eps)
        residual = bench.RESIDUALS[method](problem, np.zeros(4, dtype=np.longdouble))
        assert (residual <= 1e-9) is optimal
