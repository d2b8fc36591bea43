"""The measurement of sweeps: its rate on hand-made spans, its verdicts, and the fast half of a round."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("bench_sweep")


def test_the_rate_counts_only_the_time_in_which_all_workers_were_at_it(bench: ModuleType) -> None:
    one = [bench.Span("a", 2.0 * k, 2.0 * k + 2) for k in range(4)]
    assert bench.rate(one) == pytest.approx(0.5)
    late = [bench.Span("b", 3.0 + 2 * k, 5.0 + 2 * k) for k in range(2)]  # starts at 3, ends at 7
    assert bench.rate([*one, *late]) == pytest.approx(1.0)
    gaps = [bench.Span("a", 3.0 * k, 3.0 * k + 2) for k in range(4)]  # a second between trials: eight seconds of work in eleven
    assert bench.rate(gaps) == pytest.approx(4 / 11)


def test_a_figure_is_held_against_what_is_asked_from_the_right_side(bench: ModuleType) -> None:
    asked = {"less": bench.Asked("s", 0.1), "more": bench.Asked("x", 1.7, least=True), "told": bench.Asked("s")}
    good, bad, told = {"less": 0.05, "more": 1.9, "told": 9.0}, {"less": 0.2, "more": 1.2, "told": 9.0}, "told: 9 s [9, 9], n=3"
    rows = bench.rows_of("p", [good, good, bad], asked)
    assert [row.missed for row in rows] == [False, False, False]
    assert [row.missed for row in bench.rows_of("p", [good, bad, bad], asked)] == [True, True, False]
    assert bench.said(rows[0]) == "less: 0.05 s [0.05, 0.125], n=3  asked <= 0.1 s: met"
    assert bench.said(rows[2]) == told


def test_trials_of_the_bench_are_ordinary_trials(bench: ModuleType) -> None:
    spans = bench.ran("inline", 1, 5, loops=3)
    assert len(spans) == 5
    assert all(span.end >= span.start for span in spans)
    assert bench.spacing(spans) < 1.0
