"""``leaderboard --published``: names, formats, and our own runs beside the published rows."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmark import cli as command_line
from benchmark.commands.published import meant, published
from benchmark.errors import UsageError
from benchmark.published.beside import beside
from benchmark.published.facts import Table, load
from benchmark.published.recompute import recompute
from benchmark.published.views import Page, render
from benchmark.records import MetricInfo, encode
from benchmark.store import Store
from tests.made import make

TABLES = load()


def test_a_name_means_a_table_or_all_of_a_benchmark_and_never_a_mixture() -> None:
    assert [table.name for table in meant("NYUv2_SegNet_NTKMTL", TABLES)] == ["nyuv2_segnet_ntkmtl"]
    assert {table.network for table in meant("nyuv2 (segnet-mtan)", TABLES)} == {"SegNet-MTAN"}
    assert len(meant("nyuv2", TABLES)) == 15
    assert meant("nyuv2_segnet_constants", TABLES)[0].entrants == ()
    with pytest.raises(UsageError, match=r"'nyu2'.*did you mean 'nyuv2'") as error:
        meant("nyu2", TABLES)
    assert "\n" not in str(error.value)


def test_each_table_has_its_own_grid_at_100_columns(tmp_path: Path) -> None:
    shown = published(name="NYUv2", output="table", results=tmp_path)
    assert max(map(len, shown.splitlines())) <= 100
    assert "NYUv2 (SegNet-MTAN): NTKMTL paper, Table 1" in shown
    assert "NYUv2 (DeepLabV3+ ResNet-50): DB-MTL paper, Table 1" in shown
    assert sum(line.startswith(" IMTL-G ✗") for line in shown.splitlines()) == 1
    assert "no confidence interval: the sources give no spread" in " ".join(shown.split())
    assert not list(tmp_path.iterdir())
    listed = published(name="", output="table", results=tmp_path)
    assert max(map(len, listed.splitlines())) <= 100
    assert all(f" {name} " in listed for name, table in TABLES.items() if table.entrants)


def test_a_narrow_terminal_folds_cells_and_cuts_nothing_off() -> None:
    page = Page(recompute(TABLES["nyuv2_segnet_ntkmtl"]))
    for width in (40, 60):
        shown = render([page], width=width)
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        assert "".join(shown.split()).count("✗") >= 8  # three rows, three cells, three notes, and what it means


def test_rows_are_sorted_by_recomputed_change_below_single_task_training(tmp_path: Path) -> None:
    (table,) = json.loads(published(name="qm9", output="json", results=tmp_path))
    values = {row["method"]: row["summaries"]["Delta_m"]["value"] for row in table["rows"]}
    lines = published(name="qm9", output="md", results=tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]
    assert names == ["STL", *sorted((name for name in values if name != "STL"), key=values.__getitem__)]


def test_a_spreadsheet_gets_digits_as_printed_and_a_source_a_row(tmp_path: Path) -> None:
    lines = list(csv.DictReader(published(name="NYUv2 (SegNet-MTAN)", output="csv", results=tmp_path).splitlines()))
    assert {line["table"] for line in lines} == {
        t.name for t in TABLES.values() if t.network == "SegNet-MTAN" and t.benchmark == "NYUv2" and t.entrants
    }
    line = next(line for line in lines if line["method"] == "IMTL-G" and line["table"] == "nyuv2_segnet_ntkmtl")
    assert (line["Delta_m printed"], line["contradicted"], line["NYUv2 Within11.25"]) == ("-0.76", "true", "26.20")
    assert "copied row refs [11]" in next(line for line in lines if line["method"] == "IMTL")["source"]
    assert next(line for line in lines if line["table"] == "nyuv2_segnet_nash_mtl")["contradicted"] == ""


LEFT = {f"{task}/accuracy": MetricInfo(higher_is_better=True, low=0.0, high=1.0, task=task) for task in ("left", "right")}
OTHER = {"left/loss": MetricInfo(higher_is_better=False, task="left")}


def ours(entrant: str, left: float, right: float, seed: int, trained: tuple[int, ...] = (0, 1), **fields: Any) -> Any:
    test = {"left/accuracy": left, "right/accuracy": right, "left/loss": 1.0 + seed}
    also = {"hyperparameters": {"task": trained[0]}} if len(trained) == 1 else {}
    return make(
        test,
        entrant=entrant,
        seed=seed,
        trained=trained,
        metrics=LEFT | OTHER,
        tasks=("left", "right"),
        problem="multimnist",
        **also,
        **fields,
    )


def records(seeds: int) -> list[Any]:
    found = []
    for seed in range(seeds):
        wobble = 0.01 * seed
        found += [ours("single_task", 0.9 + wobble, 0.8, seed, (task,)) for task in (0, 1)]
        found += [ours("equal", 0.81 + wobble, 0.8, seed), ours("better", 0.95, 0.84, seed)]
    return found


def stored(folder: Path, found: list[Any]) -> None:
    store = Store(folder)
    for record in found:
        path = store.path(record.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(record))


def multimnist() -> Table:
    return TABLES["multimnist_pcgrad"]


def test_our_runs_are_scored_on_the_metrics_of_the_table_against_our_own_single_task_runs() -> None:
    rows, notes = beside([*records(3), make({"error": 1.0, "accuracy": 0.5}, entrant="elsewhere")], multimnist())
    assert {row.entrant: row.reference for row in rows} == {"single_task": True, "equal": False, "better": False}
    equal = next(row for row in rows if row.entrant == "equal")
    assert equal.delta_m.value == pytest.approx(50 * 0.09 / 0.91)  # left 0.82 against 0.91, right 0.8 against 0.8; the loss is not asked
    assert equal.delta_m.low < equal.delta_m.value < equal.delta_m.high
    assert (equal.seeds, equal.complete, equal.suite, equal.problem) == (3, True, "toy", "multimnist")
    assert notes == []
    assert beside(records(3), TABLES["qm9_ntkmtl"]) == ([], [])


def test_our_runs_stand_beside_the_published_rows_with_their_n(tmp_path: Path) -> None:
    stored(tmp_path, records(3))
    shown = published(name="Multi-MNIST", output="table", results=tmp_path)
    lines = shown.splitlines()
    row = next(line for line in lines if line.startswith(" ours: equal"))
    assert row.endswith(" 3")
    assert "[" in row
    assert "Protocols differ:" in shown
    assert next(line for line in lines if "single_task" in line).split()[-2:] == ["reference", "3"]
    (table,) = json.loads(published(name="Multi-MNIST", output="json", results=tmp_path))
    assert {each["entrant"]: each["seeds"] for each in table["ours"]} == {"single_task": 3, "better": 3, "equal": 3}


def nyuv2(entrant: str, seed: int, better: float, trained: tuple[int, ...]) -> Any:
    """Published cells of single-task training, all of them better by a factor; what is a mean over batches belongs to the whole problem."""
    table = TABLES["nyuv2_segnet_ntkmtl"]
    metrics, test = {}, {}
    for name, metric in table.metrics.items():
        task = metric.ours.partition("/")[0] if "/" in metric.ours else None
        metrics[metric.ours] = MetricInfo(higher_is_better=metric.higher_is_better, task=task, compared=task is not None)
        test[metric.ours] = (
            float(table.lines[0].cells[name].value) * (1 + better * (1 if metric.higher_is_better else -1)) * (1 + 0.01 * seed)
        )
    order = ("segmentation", "depth", "normals")
    also = {"hyperparameters": {"task": trained[0]}} if len(trained) == 1 else {}
    return make(test, entrant=entrant, seed=seed, trained=trained, metrics=metrics, tasks=order, problem="nyuv2", **also)


def test_means_over_test_batches_count_to_the_task_that_the_table_counts_them_to() -> None:
    records = [nyuv2("single_task", seed, 0.0, (task,)) for seed in (0, 1) for task in (0, 1, 2)]
    rows, _ = beside([*records, *(nyuv2("equal", seed, 0.1, (0, 1, 2)) for seed in (0, 1))], TABLES["nyuv2_segnet_ntkmtl"])
    equal = next(row for row in rows if row.entrant == "equal")
    assert (equal.delta_m.value, equal.delta_p.value, equal.seeds) == (pytest.approx(-10.0), pytest.approx(10.0), 2)


def test_our_records_of_several_protocols_are_not_compared_unless_one_is_asked_for(tmp_path: Path) -> None:
    stored(tmp_path, [*records(2), *(ours("equal", 0.5, 0.5, seed, protocol=99) for seed in (0, 1))])
    with pytest.raises(UsageError, match="--protocol 99"):
        published(name="Multi-MNIST", output="table", results=tmp_path)
    assert "ours: better" in published(name="Multi-MNIST", output="table", results=tmp_path, protocol=1)


def test_a_failed_run_of_ours_is_a_row_below_all_others(tmp_path: Path) -> None:
    failed = [ours("star", 0.99, 0.99, 0), ours("star", 0.0, 0.0, 1, status="diverged")]
    stored(tmp_path, [*records(2), *failed])
    lines = [line for line in published(name="Multi-MNIST", output="md", results=tmp_path).splitlines() if line.startswith("|")]
    assert lines[-1].startswith("| ours: star | (-")  # in parentheses: of the seed that finished


def test_one_seed_of_ours_has_no_interval() -> None:
    rows, _ = beside(records(1), multimnist())
    assert all(math.isnan(row.delta_m.low) for row in rows if not row.reference)


def test_names_of_ours_are_text_in_every_format(tmp_path: Path) -> None:
    hostile = "=cmd|<b>[red]\x1b[31m"
    stored(tmp_path, [*records(2), *(ours(f"equal({hostile})", 0.8, 0.8, seed) for seed in (0, 1))])
    shown = {output: published(name="Multi-MNIST", output=output, results=tmp_path) for output in ("table", "md", "csv", "json")}
    assert not any("\x1b" in text for text in shown.values())
    assert "[red]" in shown["table"]
    assert "<b>" not in shown["md"]
    assert "<b>" not in shown["json"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["leaderboard", *arguments])
    shown = capsys.readouterr()
    return int(exit_.value.code or 0), shown.out, shown.err


def test_the_flag_may_stand_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (["--published"], ["--results", str(tmp_path), "--published"], ["--published", "--results", str(tmp_path)]):
        code, out, _ = run(capsys, *arguments)
        assert (code, out.splitlines()[0]) == (0, "23 published tables, which differ in network, recipe or methods and are never mixed")
    code, out, _ = run(capsys, "--published", "qm9", "--results", str(tmp_path), "--format", "md")
    assert (code, out.splitlines()[0][:7]) == (0, "**QM9 (")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--published", "NYUv3"], "--published is 'NYUv3'"),
        (["--published", "NYUv2", "--format", "html"], "--format is 'html'"),
        (["--published", "NYUv2", "--suite", "mixed"], "--suite does not go with this"),
        (["--published", "--selection-rule", "normalised_loss"], "--selection-rule does not go with this"),
        (["--published", "NYUv2", "--out", "x.md"], "--out does not go with this"),
        (["--published", "NYUv2", "--by", "task"], "--by does not go with this"),
        (["--published", "NYUv2", "--sort", "dm"], "--sort does not go with this"),
        (["--published", "NYUv2", "--baseline", "equal"], "--baseline does not go with this"),
        (["--published", "NYUv2", "--default"], "--tuned or --default does not go with this"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err
