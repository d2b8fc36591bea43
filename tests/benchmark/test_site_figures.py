"""Figures of the site: legal for plotly, true to the numbers, and safe with names from anywhere."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmark.site import figures, summaries, training
from benchmark.site.marks import COLOURS, DASHES, Figure, Scale, colour, dash, log_scale, symbol, text
from tests.site_records import HOSTILE, SCRIPT, hostile, on_board, record, study

plotly = pytest.importorskip("plotly.graph_objects")


def untinted(value: Any, key: str = "") -> Any:
    """The figure with a real colour in the place of every token, as the page draws it."""
    if isinstance(value, str):
        return "#123456" if value.startswith("@") and "color" in key else value
    if isinstance(value, list):
        return [untinted(each, key) for each in value]
    return {name: untinted(each, name) for name, each in value.items()} if isinstance(value, dict) else value


def every(records: list[Any]) -> list[Figure]:
    board = on_board(records)
    found = [figures.change(board), summaries.ranks(board), figures.cost(board), summaries.profiles(board)]
    for problem in board.problems:
        found += [figures.change(board, problem.label), training.trade_off(board, problem.label)]
        found += [drawn for which in ("validation", "training") for _, drawn in training.losses(board, problem.label, which)]
        curves = training.metrics(board, problem.label)
        assert curves
        assert {name[-1] for name, _ in curves} <= {"↓", "↑"}
        found += [drawn for _, drawn in curves]
    for each in board.entrants:
        found += [training.weights(result) for result in each.results.values()]
        found += [training.conflicts(each, which) for which in ("cosine", "conflicts")]
    return [drawn for drawn in found if drawn is not None]


@pytest.mark.parametrize("records", [study(), hostile(), study(seeds=1)], ids=["study", "hostile", "one seed"])
def test_every_figure_is_one_that_plotly_takes(records: list[Any]) -> None:
    found = every(records)
    assert len(found) > 10
    for drawn in found:
        plotly.Figure(untinted({"data": drawn["data"], "layout": drawn["layout"]}))
        assert drawn["label"]
        assert drawn["height"] > 100


def test_nothing_of_a_name_is_markup_in_a_figure() -> None:
    def texts(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            for name, each in value.items():
                yield from texts(each, name)
        elif isinstance(value, list):
            for each in value:
                yield from texts(each, key)

    for drawn in every(hostile()):
        for key, value in texts({"data": drawn["data"], "layout": drawn["layout"]}):
            plain = value.replace("<br>", "").replace("<b>%{fullData.name}</b>", "").replace("<extra></extra>", "")
            assert "<" not in plain, (key, value)
            if key == "hovertemplate":
                assert "%{x}<" not in value.replace("%{x}: ", "")
                assert not any(name in value for name in HOSTILE if name != "%{x}"), value


def test_a_name_stays_readable_and_on_its_line() -> None:
    assert text(SCRIPT) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert "\n" not in text("a\nb")
    assert len(text("x" * 100, 20)) < 25
    assert text("short", 20) == "short"


def test_delta_m_is_drawn_where_the_table_has_it() -> None:
    board = on_board(study())
    drawn = figures.change(board)
    assert drawn is not None
    rows = [each for each in board.entrants if not each.row.reference]
    assert drawn["layout"]["yaxis"]["ticktext"] == [each.name for each in rows]
    points = {y: (x, trace["name"]) for trace in drawn["data"] for x, y in zip(trace["x"], trace["y"], strict=True)}
    for place, each in enumerate(rows):
        assert points[place][0] == pytest.approx(each.row.delta_m.value)
        assert (points[place][1] == "some runs failed or are missing") == (not each.row.complete)
    trace = next(trace for trace in drawn["data"] if 0 in trace["y"])
    at = trace["y"].index(0)
    assert trace["x"][at] + trace["error_x"]["array"][at] == pytest.approx(rows[0].row.delta_m.high)
    assert trace["x"][at] - trace["error_x"]["arrayminus"][at] == pytest.approx(rows[0].row.delta_m.low)


def test_the_pareto_line_is_of_those_that_nobody_beats_in_both() -> None:
    from dataclasses import replace

    board = on_board(study())
    costs = {"equal": 1.0, "gradnorm(alpha=0.12)": 2.0}
    changed = [replace(each, row=replace(each.row, cost=costs.get(each.name, 1.5))) for each in board.entrants]
    drawn = figures.cost(replace(board, entrants=changed))
    assert drawn is not None
    front = next(trace for trace in drawn["data"] if trace["mode"] != "markers")
    assert front["text"] == ["equal", text("gradnorm(alpha=0.12)", figures.LABEL)]
    assert "gradnorm" in drawn["label"]
    slow = [replace(each, row=replace(each.row, cost=9.0 if each.name == "equal" else each.row.cost)) for each in changed]
    drawn = figures.cost(replace(board, entrants=slow))
    assert drawn is not None
    assert next(trace for trace in drawn["data"] if trace["mode"] != "markers")["x"] == [2.0]


def test_mean_ranks_within_the_critical_difference_of_the_best_are_not_separable() -> None:
    drawn = figures.ranks(["b", "a", "c"], [2.0, 1.0, 3.0], 1.5, 0.04)
    assert drawn["layout"]["yaxis"]["ticktext"] == ["a", "b", "c"]
    found = {trace["name"]: trace["x"] for trace in drawn["data"]}
    assert found == {"not separable from the best": [1.0, 2.0], "separable from the best": [3.0]}
    assert all(trace["error_x"]["value"] == 0.75 for trace in drawn["data"])
    assert "2 not separable" in drawn["label"]


def test_profiles_rise_from_no_run_to_all() -> None:
    drawn = summaries.profiles(on_board(study()))
    assert drawn is not None
    lines = [trace for trace in drawn["data"] if "fill" not in trace]
    assert {trace["name"] for trace in lines} == {"equal", "gradnorm(alpha=0.12)"}
    for trace in lines:
        assert trace["y"] == sorted(trace["y"])
        assert max(trace["y"]) <= 1.0


def test_many_rows_are_folded_and_few_are_not() -> None:
    records = [each for each in study() if each.spec.entrant == "single_task"]
    for index in range(40):
        records += [
            record(f"m{index:02}", 1.0 + index / 10 + seed / 50, 0.7, problem=problem, seed=seed)
            for problem in ("digits", "wine")
            for seed in range(3)
        ]
    drawn = figures.change(on_board(records))
    assert drawn is not None
    assert drawn["fold"]["count"] == 40
    assert drawn["fold"]["height"] < drawn["height"]
    assert drawn["fold"]["x"][0] < drawn["fold"]["x"][1]
    few = figures.change(on_board(study()))
    assert few is not None
    assert few["fold"] is None


def test_entrants_differ_in_more_than_colour() -> None:
    looks = {(colour(style), symbol(style), dash(style)) for style in range(COLOURS * len(DASHES))}
    assert len(looks) == 49
    for first in range(COLOURS):
        assert [symbol(first) == symbol(other) for other in range(COLOURS)].count(True) == 1


def test_far_rows_are_drawn_on_a_compressed_scale_with_true_ticks() -> None:
    near = Scale.of([1.0, 2.0, -3.0])
    assert near(2.5) == 2.5
    far = Scale.of([10.0, 12.0, 14.0, 1400.0])
    assert far.unit == 10.0
    axis = far.axis([10.0, 1400.0], "Δm %")
    ticks = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
    assert ticks["0"] == 0.0
    assert ticks["+1000"] == pytest.approx(math.asinh(100))
    assert "compressed" in axis["title"]["text"]
    assert Scale.of([]).unit is None
    assert Scale.of([0.0, 0.0]).unit is None


def test_a_logarithmic_axis_is_for_positive_numbers_of_different_size() -> None:
    assert log_scale([0.01, 1.0])
    assert not log_scale([0.5, 1.0])
    assert not log_scale([-1.0, 100.0])
    assert not log_scale([None, math.nan])


def test_an_interval_that_reaches_zero_ends_at_the_bottom_of_a_logarithmic_axis() -> None:
    records = [each for seed in range(2) for each in (record("equal", 1.0, 0.5, problem="wine", seed=seed, slope=1.0 + 90 * seed),)]
    records += [record("m", 1.0, 0.5, problem="wine", seed=seed, slope=0.01) for seed in range(2)]
    (_, drawn), *_ = training.losses(on_board(records), "wine", "validation")
    assert drawn["layout"]["yaxis"]["type"] == "log"
    assert all(value > 0 for trace in drawn["data"] for value in trace["y"])


def test_a_problem_with_a_known_front_shows_it_and_one_of_two_tasks_its_metrics() -> None:
    front = training.trade_off(on_board(study(("vlmop2",))), "vlmop2")
    assert front is not None
    assert front["data"][0]["name"] == "Pareto front"
    assert [len(trace["x"]) for trace in front["data"][1:]] == [3, 3, 3, 2]
    both = training.trade_off(on_board(study(("wine",))), "wine")
    assert both is not None
    titles = [both["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")]
    assert titles == ["error, lower is better", "accuracy, higher is better"]
