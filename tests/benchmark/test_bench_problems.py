"""The measurement behind the problems' cards: the rule of the verdict on hand-made rows, and a tiny study end to end."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import tasks

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("problems_report")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("problem_cards")


def rows(report: ModuleType, **gaps: tuple[float, float, float]) -> list[object]:
    """Equal weights at Δm 20, and others at a gap to it."""
    plain = report.Row("wine", 1, "mixed", 1, "equal", 10, 0, 1.0, 20.0, 19.0, 21.0, None, None, None, "2.7", "x86", "2026-01-01")
    others = [replace(plain, method=name, delta_m=20 + gap, gap=gap, gap_low=low, gap_high=high) for name, (gap, low, high) in gaps.items()]
    return [plain, *others]


@pytest.mark.parametrize(
    ("gap", "near", "yes"),
    [
        ((-8, -12, -4), 4, True),
        ((-8, -13.5, -2.5), 2.5, False),
        ((8, 3, 13), 3, True),
        ((-1, -5, 3), 0, False),
        ((-9, None, None), 0, False),
    ],
)
def test_the_near_end_of_the_best_gap_decides(
    report: ModuleType, gap: tuple[float, float | None, float | None], near: float, yes: bool
) -> None:
    verdict = report.verdict(rows(report, uncertainty=gap, gradnorm=(90, 80, 100), single_task=(-2, -4, 0)))
    best = verdict.best
    assert (best.method, best.near, verdict.discriminates) == ("uncertainty", near, yes)
    assert verdict.balanced == 2


def test_single_task_training_decides_too_and_random_weights_do_not(report: ModuleType) -> None:
    verdict = report.verdict(rows(report, rlw=(-30, -31, -29), uncertainty=(-1, -2, 0), single_task=(-20, -24, -16)))
    assert (verdict.best.method, verdict.single.method, verdict.discriminates) == ("uncertainty", "single_task", True)
    verdict = report.verdict(rows(report, rlw=(-30, -31, -29)))
    assert (verdict.best, verdict.single, verdict.discriminates) == (None, None, False)


def test_what_is_left_of_a_failure_is_not_the_best(report: ModuleType) -> None:
    failed, *others = reversed(rows(report, uncertainty=(-8, -12, -4), gls=(-50, None, None)))
    verdict = report.verdict([replace(failed, failed=1, n=9, gap=None), *others])
    assert (verdict.best.method, verdict.balanced, verdict.discriminates) == ("uncertainty", 2, True)


def test_rows_are_read_as_they_were_written(report: ModuleType, tmp_path: Path) -> None:
    written = rows(report, single_task=(-2.5, -4, -1e-9))
    report.write(tmp_path / "new" / "problems.csv", written)
    assert report.read(tmp_path / "new" / "problems.csv") == written
    assert report.read(tmp_path / "none.csv") == []


def test_a_tiny_study_end_to_end(monkeypatch: pytest.MonkeyPatch, report: ModuleType, tmp_path: Path) -> None:
    bench = importlib.import_module("bench_problems")
    suite = tasks.suite("mixed")
    short = replace(suite, entries=tuple(replace(entry, steps=5, eval_every=5) for entry in suite.entries))
    monkeypatch.setattr(report, "home", lambda problem: short)
    out = tmp_path / "problems.csv"
    given = ["--problems", "wine", "--methods", "equal,uncertainty,single_task", "--seeds", "2"]
    bench.main([*given, "--results", str(tmp_path / "results"), "--out", str(out)])
    found = {row.method: row for row in report.read(out)}
    assert set(found) == {"equal", "uncertainty", "single_task"}
    assert all(row.n == 2 and row.failed == 0 and row.steps == 5 for row in found.values())
    assert {name for name, row in found.items() if row.seconds} == {"equal"}
    equal, other, single = (found[name] for name in ("equal", "uncertainty", "single_task"))
    assert equal.gap is None
    assert single.delta_m == 0
    assert other.gap == pytest.approx(other.delta_m - equal.delta_m)
    assert single.gap == pytest.approx(-equal.delta_m)
    assert single.gap_low < -equal.high < -equal.low < single.gap_high  # wider: two comparisons at once
    bench.main([*given, "--results", str(tmp_path / "results"), "--out", str(out)])
    again = {row.method: replace(row, date=found[row.method].date, seconds=found[row.method].seconds) for row in report.read(out)}
    assert again == found
    assert len(list((tmp_path / "results").rglob("*.json"))) == 2 * (1 + 1 + 3)  # nothing was run again


def test_the_page_has_every_problem_and_what_was_measured(report: ModuleType, cards: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = rows(report, uncertainty=(-8, -12, -4), single_task=(-2, -4, 0))
    version = tasks.problem("wine").card.version
    monkeypatch.setattr(report, "read", lambda path: [replace(row, version=version) for row in measured])
    page = cards.page()
    assert all(f"### `{name}`" in page for name in tasks.problems())
    assert (
        "| `wine` | 10 | +20.0 [19.0, 21.0] | `uncertainty` of 1: +12.0 [19.0, 21.0] | -8.0 [-12.0, -4.0] | -2.0 [-4.0, 0.0] | yes |"
        in page
    )
    monkeypatch.setattr(report, "read", lambda path: [replace(row, version=version + 1) for row in measured])
    wine = {"wine": tasks.problem("wine")}
    monkeypatch.setattr(tasks, "problems", lambda: wine)  # that one is enough, and the others take seconds
    again = cards.page()
    assert "### `wine`" in again
    assert "| `wine` |" not in again  # of another version
    assert f"{math.log(3):.4g}" in page
