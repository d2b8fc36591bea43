"""The measurement of step costs: a tiny cell end to end, what is a miss, and which aggregator of torchjd a method is set beside."""

from __future__ import annotations

import csv
import importlib
import math
from pathlib import Path
from types import ModuleType

import pytest

import methods

SCRIPTS = Path(__file__).parents[2] / "scripts"
FLOORS = ("floor", "floor, two forwards", "floor, by layers")
OURS = (("famo", "lossbench"), ("mgda", "lossbench"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("bench_steps")


def test_a_tiny_cell_end_to_end(bench: ModuleType, tmp_path: Path) -> None:
    tiny = ["--model", "mlp", "--tasks", "2", "--batch", "4", "--rounds", "2", "--no-torchjd", "--out", str(tmp_path)]
    bench.main([*tiny, "--methods", "famo,mgda"])
    with (tmp_path / "steps.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["implementation"], row["clock"]) for row in rows] == [
        (method, implementation, clock)
        for clock in ("cpu", "wall")
        for method, implementation in (*((floor, "floor") for floor in FLOORS), ("plain loop", "plain"), *OURS)
    ]
    for row in rows:
        assert (row["model"], row["batch"], row["tasks"], row["n"]) == ("mlp", "4", "2", "2")
        assert 0 < float(row["q25"]) <= float(row["ratio"]) <= float(row["q75"]) < math.inf
        assert float(row["ms"]) > 0
    assert {row["method"]: row["backward_passes"] for row in rows} == {
        "floor": "2",
        "floor, two forwards": "1",
        "floor, by layers": "2",
        "plain loop": "1",
        "famo": "1",
        "mgda": "2",
    }
    assert {row["target"] for row in rows if row["method"] == "famo"} == {str(bench.REFORWARD)}
    text = (tmp_path / "steps.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table] == ["method", "---", *FLOORS, "plain loop", "famo", "mgda"]
    assert {line.count("|") for line in table} == {4}

    before = (tmp_path / "steps.csv").read_bytes()
    bench.main([*tiny, "--methods", "mgda", "--resume"])
    assert (tmp_path / "steps.csv").read_bytes() == before

    bench.main([*tiny, "--methods", "mgda", "--again"])
    with (tmp_path / "steps.csv").open(encoding="utf-8") as file:
        again = list(csv.DictReader(file))
    assert sorted((row["method"], row["clock"]) for row in again) == sorted((row["method"], row["clock"]) for row in rows)
    (kept,), (new,) = ([row for row in again if (row["method"], row["clock"]) == (name, "cpu")] for name in ("famo", "mgda"))
    assert kept in rows
    assert new not in rows


def test_the_conv_net_is_as_large_as_it_says(bench: ModuleType) -> None:
    session = bench.Session(bench.Cell("conv", 1, 4), "cpu")
    assert sum(parameter.numel() for parameter in session.shared()) == pytest.approx(0.68e6, rel=0.01)
    losses, z = session.losses(session.batch(0))
    assert z.shape == (1, 32, 64, 64)
    assert len(losses) == 4
    assert all(loss.isfinite() for loss in losses)
    assert {head.kind for head in session.heads} == {"classification", "regression", "objective"}


def test_half_of_the_gradients_conflict(bench: ModuleType) -> None:
    assert bench.contested(bench.Cell("mlp", 8, 2), "cpu")[1] == 1.0
    assert 0.5 <= bench.contested(bench.Cell("mlp", 8, 6), "cpu")[1] <= 0.7


@pytest.mark.parametrize("name", methods.names())
def test_what_a_method_may_cost_follows_from_its_card(bench: ModuleType, name: str) -> None:
    card = methods.card(name)

    def limit(model: str, batch: int, tasks: int) -> float | None:
        return bench.target(card, bench.Cell(model, batch, tasks), 4.0, reforward=methods.get(name).reforward, batches=0)

    if card.family == "loss":
        assert limit("conv", 8, 3) == limit("mlp", 32, 10) == (1.4 if methods.get(name).reforward else 1.05)
    elif card.family == "gramian" and card.where == "shared":
        assert (limit("conv", 8, 10), limit("mlp", 256, 10)) == (pytest.approx(4.2), pytest.approx(4.8))
        assert (limit("mlp", 32, 10), limit("mlp", 32, 40)) == (pytest.approx(2.6), pytest.approx(2.2))
    elif card.where == "last":
        assert (limit("mlp", 32, 3), limit("mlp", 32, 10)) == (1.5, None)
    else:
        assert limit("mlp", 256, 10) is None


def test_a_method_meets_its_namesake(bench: ModuleType) -> None:
    pytest.importorskip("torchjd")
    expected = {"imtl_g": "IMTLG", "aligned_mtl": "AlignedMTL", "krum": "Krum", "trimmed_mean": "TrimmedMean"}
    assert {name: type(bench.torchjd_aggregator(methods.card(name), 4)).__name__ for name in expected} == expected
    assert bench.torchjd_aggregator(methods.card("gradnorm"), 4) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--methods", "mgda,pcgard"], "unknown method 'pcgard'; did you mean 'pcgrad'?"),
        (["--methods", ","], "unknown method ','"),
        (["--tasks", "0"], "'0'; expected numbers of tasks, 2 or more"),
        (["--tasks", "3,,"], "'3,,'; expected numbers of tasks, 2 or more"),
        (["--batch", "-1"], "'-1'; expected a whole number of 1 or more"),
        (["--rounds", "0"], "'0'; expected a whole number of 1 or more"),
        (["--out", __file__], "expected a folder that is there or can be made"),
        (["--out", f"{__file__}/x"], "expected a folder that is there or can be made"),
    ],
)
def test_bad_input_is_one_line(bench: ModuleType, given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(given)
    assert said in capsys.readouterr().err.splitlines()[-1]
