"""``reproduce`` as a user calls it, and the page of what has been reproduced."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmark.store import Store
from tests.e2e.conftest import Cli, as_between_programs

ROOT = Path(__file__).parents[2]
# On VLMOP1 equal weights halve x in every plain step of size 1: after twelve steps the losses are near 1/4, whatever the start.
HALVING = """
name = "halving"
version = 1
title = "Halving"
summary = "plain steps of size 1"

[protocol]
seeds = 3
evaluations = 2
selection = "last"

[[problems]]
name = "vlmop1"
steps = 12
learning_rate = 1.0
optimizer = "sgd"

[sources]
formula = "x_12 = x_0 / 4096, and L = 1/4 at x = 0"

[tolerances.near]
within = { "first/loss" = 0.005, "second/loss" = 0.005 }
reason = "2 % of the loss"

[entrants]
LS = { method = "equal" }
MGDA = { method = "mgda" }

[[tables]]
problem = "vlmop1"
source = "formula"
tolerance = "near"
metrics = ["first/loss", "second/loss"]
[tables.rows]
LS = [[0.25, 0.25]]

[[relations]]
problem = "vlmop1"
metric = "front_distance"
row = "MGDA"
is = "below"
than = 0.05
source = "formula"
"""


@pytest.fixture
def halving(tmp_path: Path) -> Path:
    path = tmp_path / "halving.toml"
    path.write_text(HALVING, encoding="utf-8")
    return path


def test_it_runs_what_is_missing_and_says_what_is_matched(halving: Path, cli: Cli, tmp_path: Path) -> None:
    results = tmp_path / "results"
    planned = cli("reproduce", halving, "--results", results, "--dry-run")
    assert planned.returncode == 0
    assert not results.exists()
    part = cli("reproduce", halving, "--results", results, "--jobs", 1, "--methods", "mgda")
    assert part.returncode == 0, part.stderr
    assert "1 of 1 cells matched" in part.stdout
    made = {record.id: record for record in Store(results).scan().records}
    assert len(made) == 3
    whole = cli("reproduce", halving, "--results", results, "--jobs", 1, "--format", "json")
    assert whole.returncode == 0, whole.stderr
    told = json.loads(whole.stdout)
    assert told["counts"] == {
        **dict.fromkeys(("not matched", "contradicted", "undetermined", "undefined", "failed", "not run"), 0),
        "matched": 2,
    }
    assert told["cells"][0]["ours"][0]["n"] == 3
    found = {record.id: record for record in Store(results).scan().records}
    assert len(found) == 6
    assert all(found[identity] == record for identity, record in made.items())  # nothing ran twice
    halving.write_text(HALVING.replace("[[0.25, 0.25]]", "[[0.25, 0.30]]"), encoding="utf-8")
    wrong = cli("reproduce", halving, "--results", results, "--jobs", 1, "--format", "md")
    assert wrong.returncode == 1
    assert "printed 0.25, 0.3; first/loss off by" in wrong.stdout
    halving.write_text(halving.read_text(encoding="utf-8").replace("[tables.rows]", "apart = true\n[tables.rows]"), encoding="utf-8")
    apart = cli("reproduce", halving, "--results", results, "--jobs", 1, "--format", "md")
    assert apart.returncode == 0, apart.stderr
    assert "1 of 1 cells matched; counted apart: 0 of 1 cells matched, 1 not matched" in apart.stdout
    assert len(Store(results).scan().records) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two-objectve"], "nothing to reproduce is called 'two-objectve'; did you mean 'two-objective'?"),
        (["nowhere.toml"], "nowhere.toml: cannot be read"),
        (["two-objective", "--format", "csv"], "--format is 'csv'; expected one of table, md, json"),
        (["two-objective", "--methods", "cagradd"], "--methods 'cagradd' is not in two-objective; did you mean 'cagrad'"),
        (["published-QM9", "--methods", "LS"], "--methods does not go with published-QM9"),
        (["two-objective", "--jobs", "x"], "--jobs is 'x'"),
    ],
)
def test_bad_calls_are_one_line_and_write_nothing(arguments: list[str], message: str, cli: Cli, tmp_path: Path) -> None:
    ran = cli("reproduce", *arguments, "--results", tmp_path / "results")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert message in ran.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["nyuv2-segnet-mtan", "cityscapes-segnet-mtan", "qm9", "celeba"])
def test_what_is_missing_is_said_in_one_line_before_anything_and_the_plan_needs_none_of_it(
    name: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ran = cli("reproduce", name, "--results", tmp_path / "results")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert f"{name} needs what is not here: CUDA" in ran.stderr
    assert "its data is not here" in ran.stderr
    planned = cli("reproduce", name, "--results", tmp_path / "results", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "missing: CUDA" in planned.stdout
    assert "backward passes" in planned.stdout
    assert not (tmp_path / "results").exists()


def test_the_list_names_every_file_and_what_it_needs(cli: Cli) -> None:
    listed = cli("reproduce").stdout
    for path in (ROOT / "scripts" / "reproduce").glob("*.toml"):
        assert path.stem in listed
    assert "CUDA, data of nyuv2" in listed


def test_contradicted_summaries_make_it_exit_with_1_and_others_do_not(cli: Cli) -> None:
    assert cli("reproduce", "published-NYUv2").returncode == 1
    assert cli("reproduce", "published-QM9").returncode == 0


def test_the_page_of_what_is_reproduced_is_what_its_records_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reproduced.py", "--check"])
    with as_between_programs(), pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(ROOT / "scripts" / "reproduced.py"), run_name="__main__")
    assert not exit_.value.code, exit_.value.code


@pytest.mark.slow
def test_the_committed_records_of_pareto_mtls_toy_come_out_again(cli: Cli, tmp_path: Path) -> None:
    ran = cli("reproduce", "pareto-mtl-toy", "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stdout
    committed = {record.id: record for record in Store(ROOT / "results" / "reproduced").scan().records}
    for record in Store(tmp_path / "results").scan().records:
        assert committed[record.id].test == pytest.approx(record.test, rel=1e-3, abs=1e-3)
