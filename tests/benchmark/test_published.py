"""Published tables: recomputed from their cells, judged by what rounding leaves open, and nothing marked that the cells allow."""

from __future__ import annotations

import math
import re
import shutil
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from benchmark import statistics
from benchmark.errors import UsageError
from benchmark.published.facts import FOLDER, Number, load
from benchmark.published.recompute import Recount, change_bounds, rank_bounds, reachable, recompute

TABLES = load()
RECOUNTS = {name: recompute(table) for name, table in TABLES.items()}

KNOWN = {
    ("nyuv2_segnet_ntkmtl", "IMTL-G", "Delta_m"): "reprinted since the Nash-MTL paper; IMGrad's authors recomputed -0.59",
    ("nyuv2_segnet_ntkmtl", "SI", "MR"): "no cell of it ties, and 146/9 is 16.22",
    ("nyuv2_segnet_ntkmtl", "DWA", "MR"): "the other half of SI's: one rank out of nine went to the wrong one",
    ("nyuv2_segnet_recap", "RECAP", "Delta_m"): "0.77 is printed, its nine means give 0.68",
}
"""Printed summaries that cannot come from the cells beside them, and why we think so."""


def number(text: str, decimals: int | None = None) -> Number:
    digits = len(text.partition(".")[2]) if decimals is None else decimals
    return Number(text, Fraction(text), Fraction(1, 2 * 10**digits))


def contradicted(recount: Recount) -> set[tuple[str, str, str]]:
    rows = recount.rows
    return {
        (recount.table.name, row.line.method, name)
        for row in rows
        for name, each in row.summaries.items()
        if each.verdict == "contradicted"
    }


# The facts


def test_exactly_the_known_summaries_contradict_their_cells() -> None:
    assert set().union(*(contradicted(recount) for recount in RECOUNTS.values())) == set(KNOWN)


@pytest.mark.parametrize("name", TABLES)
def test_every_other_printed_change_is_met_within_rounding_by_exact_arithmetic(name: str) -> None:
    """The range once more, in fractions and from the definition, without the code that is tested."""
    table = TABLES[name]
    if table.baseline is None:
        return
    base, tasks_ = table.baseline.line.cells, [metric.task for metric in table.metrics.values()]
    for line in table.entrants:
        ranges = {}
        for metric, cell in line.cells.items():
            sign = -1 if table.metrics[metric].higher_is_better else 1
            ends = [sign * 100 * (m / b - 1) for m in (cell.low, cell.high) for b in (base[metric].low, base[metric].high)]
            ranges[metric] = min(ends), max(ends)
        for summary, printed in line.printed.items():
            if summary == "MR":
                continue
            low, high = (sum(each[end] for each in ranges.values()) / len(ranges) for end in (0, 1))
            if summary == "Delta_p":
                shares = [Fraction(1, tasks_.count(task) * len(set(tasks_))) for task in tasks_]
                low, high = (-sum(share * ranges[m][end] for share, m in zip(shares, table.metrics, strict=True)) for end in (1, 0))
            meets = printed.low <= high and printed.high >= low
            assert meets == ((name, line.method, summary) not in KNOWN), (line.method, summary, float(low), float(high))
            ours = next(row for row in RECOUNTS[name].rows if row.line is line).summaries[summary]
            assert (ours.low, ours.high) == pytest.approx((float(low), float(high)), abs=1e-9)
            assert ours.low <= ours.value <= ours.high


def test_the_document_lists_the_contradictions_that_there_are() -> None:
    symbols = {"Delta_m": "Δm", "Delta_p": "Δp", "MR": "MR"}
    section = (FOLDER / "README.md").read_text(encoding="utf-8").split("## What contradicts itself")[1]
    listed = {tuple(cell.strip(" `") for cell in line.split("|")[1:5]) for line in section.splitlines() if line.startswith("| `")}
    rows = {(name, row.line.method): row for name, recount in RECOUNTS.items() for row in recount.rows}
    summaries = {key: rows[key[:2]].summaries[key[2]] for key in KNOWN}
    assert listed == {(*key[:2], symbols[key[2]], each.printed.text) for key, each in summaries.items() if each.printed}


def test_how_many_summaries_were_checked() -> None:
    """A check that looks at nothing would find nothing."""
    verdicts = [each.verdict for recount in RECOUNTS.values() for row in recount.rows for each in row.summaries.values()]
    assert (verdicts.count("agrees"), verdicts.count("contradicted")) == (119, 4)


def test_recomputed_values_are_those_that_others_computed_from_the_same_cells() -> None:
    def of(table: str, method: str, summary: Any) -> float:
        return next(row for row in RECOUNTS[table].rows if row.line.method == method).summaries[summary].value

    assert of("nyuv2_segnet_ntkmtl", "Nash-MTL", "Delta_m") == pytest.approx(-4.05, abs=0.005)
    assert of("nyuv2_segnet_ntkmtl", "Nash-MTL", "Delta_p") == pytest.approx(7.65, abs=0.005)
    assert of("nyuv2_segnet_db_mtl", "GradNorm", "Delta_m") == pytest.approx(7.37, abs=0.005)
    assert of("nyuv2_segnet_libmtl", "GradNorm (LibMTL re-run)", "Delta_m") == pytest.approx(-4.03, abs=0.005)
    assert of("celeba_fairgrad", "FairGrad", "Delta_m") == pytest.approx(0.37, abs=0.005)


def test_padded_zeros_are_what_makes_one_table_agree(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "published")
    text = (folder / "tables.toml").read_text(encoding="utf-8")
    assert "padded = { AbsErr = 4 }\n" in text
    (folder / "tables.toml").write_text(text.replace("padded = { AbsErr = 4 }\n", ""), encoding="utf-8")
    assert len(contradicted(recompute(load(folder)["cityscapes_deeplab_db_mtl"]))) == 8
    cells = {line.method: line.cells["AbsErr"] for line in TABLES["cityscapes_deeplab_db_mtl"].lines}
    assert cells["GLS"].half == Fraction(5, 10**5)  # 0.01280
    assert cells["STL"].half == Fraction(5, 10**6)  # 0.01282


def test_what_cannot_be_recomputed_is_said() -> None:
    for name, recount in RECOUNTS.items():
        blank = [row for row in recount.rows if not row.reference and any(math.isnan(each.value) for each in row.summaries.values())]
        assert bool(blank) == bool(recount.missing), name


def test_constants_in_code_are_fractions_and_cells_percent() -> None:
    table = TABLES["nyuv2_segnet_recap"]
    assert table.baseline is not None
    cell = table.baseline.line.cells["mIoU"]
    assert (cell.text, cell.value, cell.half) == ("0.3830", Fraction("38.3"), Fraction("0.005"))
    assert TABLES["nyuv2_segnet_ntkmtl"].lines[0].cells["mIoU"].half == cell.half


def test_our_metrics_of_the_same_name_go_the_same_way() -> None:
    for table in TABLES.values():
        for problem in table.problems:
            declared = tasks.problem(problem).card.metrics()
            for metric in table.metrics.values():
                assert declared[metric.ours].higher_is_better == metric.higher_is_better, (problem, metric.ours)
            assert {metric.task for metric in table.metrics.values()} <= {task.name for task in tasks.problem(problem).card.tasks}


# The arithmetic


def test_a_range_by_hand() -> None:
    """2.0 against 1.0, to one digit: from (1.95 - 1.05) / 1.05 to (2.05 - 0.95) / 0.95."""
    low, high = change_bounds([1.95], [2.05], [0.95], [1.05], [False])
    assert (low[0], high[0]) == pytest.approx((100 * 0.9 / 1.05, 100 * 1.1 / 0.95))
    low, high = change_bounds([1.95], [2.05], [0.95], [1.05], [True])
    assert (low[0], high[0]) == pytest.approx((-100 * 1.1 / 0.95, -100 * 0.9 / 1.05))


def test_a_range_with_negative_numbers_by_hand() -> None:
    """A value of -1.0 against 2.0 falls with the baseline; -2.0 against -1.0 is lower, which is better."""
    low, high = change_bounds([-1.05], [-0.95], [1.95], [2.05], [False])
    assert (low[0], high[0]) == pytest.approx((100 * (-1.05 / 1.95 - 1), 100 * (-0.95 / 2.05 - 1)))
    low, high = change_bounds([-2.05], [-1.95], [-1.05], [-0.95], [False])
    assert (low[0], high[0]) == pytest.approx((100 * (1 - 2.05 / 0.95), 100 * (1 - 1.95 / 1.05)))


def test_a_cell_around_zero_is_bounded_and_a_baseline_around_zero_is_not() -> None:
    low, high = change_bounds([-0.05], [0.05], [0.95], [1.05], [False])
    assert (low[0], high[0]) == pytest.approx((100 * (-0.05 / 0.95 - 1), 100 * (0.05 / 0.95 - 1)))
    for ends in ([-0.05], [0.05]), ([0.0], [0.1]):
        low, high = change_bounds([0.95], [1.05], *ends, [False])
        assert (low[0], high[0]) == (-math.inf, math.inf)


def test_a_missing_cell_leaves_the_range_unknown() -> None:
    low, high = change_bounds([[math.nan, 1.0]], [[math.nan, 1.0]], [-1.0, 1.0], [1.0, 1.0], [False, False])
    assert np.isnan([low[0, 0], high[0, 0]]).all()
    assert low[0, 1] == high[0, 1] == 0.0


printed_numbers = st.builds(lambda units, decimals: number(str(Fraction(units, 1)), decimals), st.integers(-300, 300), st.integers(0, 3))


@given(st.lists(st.tuples(printed_numbers, printed_numbers, st.booleans()), min_size=1, max_size=4), st.data())
def test_the_range_contains_the_change_of_all_cells_that_print_alike_and_is_reached(
    cells: list[tuple[Number, Number, bool]], data: st.DataObject
) -> None:
    ends = [np.array([float(getattr(each[which], end)) for each in cells]) for which in (0, 1) for end in ("low", "high")]
    higher = np.array([each[2] for each in cells])
    task = np.arange(len(cells)) // 2
    least, most = change_bounds(*ends, higher)
    shares = [np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(cells), max_size=len(cells)))) for _ in (0, 1)]
    value, base = (low + share * (high - low) for share, low, high in zip(shares, ends[::2], ends[1::2], strict=True))
    if (base == 0).any():
        return  # no such change
    change = statistics.relative_change(value, base, higher)
    slack = 1e-9 * (1 + np.abs(change).max())
    assert statistics.delta_m(least) - slack <= statistics.delta_m(change) <= statistics.delta_m(most) + slack
    assert statistics.delta_p(most, task) - slack <= statistics.delta_p(change, task) <= statistics.delta_p(least, task) + slack
    if np.isfinite(least).all():
        corners = [statistics.relative_change(m, b, higher) for m, b in product(ends[:2], ends[2:])]
        assert (np.min(corners, axis=0) == least).all()
        assert (np.max(corners, axis=0) == most).all()


def test_ranks_under_every_rule_for_ties_by_hand() -> None:
    """Lower is better: 1.0, 1.0, 1.05 and 3: the first two tie, and the third, printed finer, may lie with them."""
    low, high = [[0.95], [0.95], [1.045], [2.5]], [[1.05], [1.05], [1.055], [3.5]]
    first, last = rank_bounds(low, high, [False])
    assert first[:, 0].tolist() == [1, 1, 1, 4]
    assert last[:, 0].tolist() == [3, 3, 3, 4]
    first, last = rank_bounds(low, high, [True])
    assert first[:, 0].tolist() == [2, 2, 2, 1]
    assert last[:, 0].tolist() == [4, 4, 4, 1]


def test_neighbours_that_print_differently_do_not_tie() -> None:
    first, last = rank_bounds([[27.595], [27.605]], [[27.605], [27.615]], [False])
    assert first[:, 0].tolist() == last[:, 0].tolist() == [1, 2]


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=2, max_size=5), st.randoms())
def test_all_rules_for_ties_and_all_orders_within_rounding_stay_in_the_bounds(table: list[list[int]], random: Any) -> None:
    values = np.array(table, dtype=np.float64)
    higher = np.array([False, True])
    first, last = rank_bounds(values - 0.5, values + 0.5, higher)
    inside = values + np.array([[random.uniform(-0.49, 0.49) for _ in row] for row in table])
    for exact in (values, inside):
        cost = np.where(higher, -exact, exact)
        least = 1 + (cost[None] < cost[:, None]).sum(axis=1)
        most = (cost[None] <= cost[:, None]).sum(axis=1)
        assert (first <= least).all()
        assert (most <= last).all()
        assert (first.mean(axis=1) <= statistics.mean_rank(exact, higher)).all()
        assert (statistics.mean_rank(exact, higher) <= last.mean(axis=1)).all()


def test_a_mean_rank_is_reached_in_steps_of_half_a_rank() -> None:
    """Nine metrics and one tie, 16 to 16 1/9: 16.00, 16.06 and 16.11 can be printed, and nothing else."""
    reached = [
        text
        for text in ("15.99", "16.00", "16.03", "16.05", "16.06", "16.10", "16.11", "16.12")
        if reachable(number(text), 16, 16 + 1 / 9, 9)
    ]
    assert reached == ["16.00", "16.06", "16.11"]


# Damaged files


def broken(folder: Path, file: str, before: str, after: str) -> str:
    path = shutil.copytree(FOLDER, folder / "published") / file
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UsageError) as error:
        load(folder / "published")
    assert "\n" not in str(error.value)
    assert file in str(error.value) or file.removesuffix(".csv") in str(error.value)
    return str(error.value)


CSV = "nyuv2_segnet_recap.csv"


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        (CSV, "AbsErr,RelErr", "AbsErr,RelEr", "column 'RelEr'.*did you mean 'RelErr'"),
        (CSV, "AbsErr,RelErr", "AbsErr,AbsErr", "column 'AbsErr' is there twice"),
        (CSV, "method", "name", "line 1 starts with 'name'; expected the column method"),
        (CSV, "0.5389", "about 0.5", "line 2, AbsErr is 'about 0.5'; expected a number as it is printed"),
        (CSV, "0.5389", "nan", "line 2, AbsErr is 'nan'"),
        (CSV, "0.5389", "5e-1", "line 2, AbsErr is '5e-1'"),
        (CSV, "0.5389,", "", "line 2 has 10 cells; expected 11"),
        (CSV, "FS-MTL", "RECAP", "line 3: method 'RECAP' is there twice"),
        (CSV, "FS-MTL", "", "line 2: method '' is empty"),
        (
            "benchmarks.toml",
            'unit = "m", higher_is_better = false, ',
            'unit = "m", ',
            "AbsErr: Object missing required field `higher_is_better`",
        ),
        ("benchmarks.toml", "higher_is_better = true", 'higher_is_better = "yes"', "Expected `bool`"),
        ("tables.toml", 'benchmark = "NYUv2"', 'benchmark = "NYUv3"', "benchmark 'NYUv3'.*did you mean 'NYUv2'"),
        ("tables.toml", 'row = "STL"', 'row = "SLT"', "baseline: row 'SLT'.*did you mean 'STL'"),
        ("tables.toml", 'table = "nyuv2_segnet_constants"', 'table = "qm9_constants"', "baseline 'qm9_constants'; expected one of nyuv2"),
        ("tables.toml", 'why = "the papers', 'way = "the papers', "unknown field `way`"),
        ("tables.toml", "decimals = { Delta_m", "decimals = { Dm", "decimals 'Dm'"),
        (
            "tables.toml",
            "[nyuv2_segnet_recap]",
            "[nyuv2_segnet_racap]",
            r"\[nyuv2_segnet_recap\]: Object missing required field `benchmark`",
        ),
        (
            "tables.toml",
            "[nyuv2_segnet_nash_mtl]",
            "[nyuv2_segnet_nash]",
            r"nash_mtl\.csv: no section \[nyuv2_segnet_nash_mtl\] in tables.toml",
        ),
        ("tables.toml", "[nyuv2_segnet_ntkmtl]", "nyuv2_segnet_ntkmtl]", "tables.toml: "),
        ("tables.toml", "SI = ", "IS = ", "remarks 'IS'"),
    ],
)
def test_a_damaged_file_is_one_line_that_says_where(tmp_path: Path, file: str, before: str, after: str, said: str) -> None:
    assert re.search(said, broken(tmp_path, file, before, after))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "published")
    rows = [line.split(",") for line in (folder / CSV).read_text(encoding="utf-8").splitlines()]
    (folder / CSV).write_text("\n".join(",".join(row[:3] + row[4:]) for row in rows), encoding="utf-8")
    with pytest.raises(UsageError, match="no column 'AbsErr'; expected all metrics of NYUv2, or none"):
        load(folder)


def test_without_the_folder_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no published tables in"):
        load(tmp_path / "nowhere")
    (tmp_path / "published").mkdir()
    with pytest.raises(UsageError, match=r"benchmarks\.toml is not there"):
        load(tmp_path / "published")
