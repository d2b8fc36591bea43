"""From records to what the pages of the site show: boards, courses, file names, commands."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from msgspec import UNSET, structs

from benchmark import cli
from benchmark.records import RunRecord, TrialSpec
from benchmark.selection import Search
from benchmark.site.courses import POINTS, course
from benchmark.site.data import UNKNOWN
from benchmark.site.names import LONGEST, slugs
from benchmark.site.rerun import rerun
from benchmark.store import Store
from tests.site_records import HOSTILE, curve, hostile, make, on_board, record, study


def test_a_board_has_every_row_and_everything_behind_it() -> None:
    board = on_board(study())
    assert [each.name for each in board.entrants] == [row.entrant for row in board.table.rows]
    found = {each.name: each for each in board.entrants}
    assert found["equal"].family == "loss"
    assert found["equal"].baseline
    assert found["broken"].family == UNKNOWN
    assert found["broken"].card["broken"] == "known from its records alone"
    assert "gradnorm" in found["gradnorm(alpha=0.12)"].card
    assert set(found["equal"].results) == {"digits", "wine"}
    trials = found["broken"].results["wine"].trials
    assert [(each.seed, each.status) for each in trials] == [(0, "oom"), (1, "ok"), (2, "ok")]
    assert trials[0].path == f"records/wine/{trials[0].id}.json"
    assert trials[1].seconds == pytest.approx(0.03)
    assert found["gradnorm(alpha=0.12)"].results["wine"].settings["alpha"] == "0.12"
    assert board.cards["wine"]["wine"].startswith("178 wines")


def test_scores_are_the_deltas_of_single_runs() -> None:
    board = on_board(study())
    assert board.scores is not None
    assert board.scores.shape == (4, 2, 3)
    for place, each in enumerate(board.entrants):
        if each.row.complete:
            assert board.scores[place].mean() == pytest.approx(each.row.delta_m.value)
        else:
            assert np.isnan(board.scores[place]).all()


def test_a_course_is_a_mean_over_finished_seeds_with_its_interval() -> None:
    board = on_board(study())
    found = {each.name: each.results["wine"].course for each in board.entrants}
    loss = found["equal"].validation[0]
    assert loss is not None
    assert (loss.steps, loss.seeds) == ([10, 20, 30, 40, 50], 3)
    assert loss.mean[0] == pytest.approx(2.0 * 2.1 / 10, rel=1e-3)  # seeds 0, 1, 2: 2.0, 2.1, 2.2
    assert loss.low[0] is not None and loss.high[0] is not None  # noqa: PT018
    assert loss.low[0] < loss.mean[0] < loss.high[0]
    broken = found["broken"].validation[0]
    assert broken is not None
    assert broken.seeds == 2
    assert found["equal"].weights == [None, None]
    weights = found["gradnorm(alpha=0.12)"].weights[1]
    assert weights is not None
    assert weights.mean == pytest.approx([3.1] * 5)
    cosine = found["gradnorm(alpha=0.12)"].cosine
    assert cosine is not None
    assert cosine.mean == [-0.5] * 5
    assert found["equal"].cosine is None


def test_tasks_that_are_trained_alone_each_give_their_own_curve() -> None:
    board = on_board(study())
    found = next(each for each in board.entrants if each.name == "single_task").results["wine"].course
    first, second = found.validation
    assert first is not None and second is not None  # noqa: PT018
    assert second.mean[0] == pytest.approx(0.31, rel=1e-3)
    assert found.weights == [None, None]
    assert found.ends[0] == pytest.approx([2 / 50, 3 / 50])
    assert {key: (band.mean[0], band.seeds) for key, band in found.metrics.items()} == {"error": (0.11, 3), "accuracy": (0.11, 3)}


def test_one_seed_has_no_interval() -> None:
    found = course(["a", "b"], {0: [record("equal", 1.0, 0.5, problem="wine", seed=0)]}).validation[0]
    assert found is not None
    assert found.low == [None] * 5
    assert found.mean[0] is not None


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    made = record("equal", 1.0, 0.5, problem="wine", seed=0)
    points = [structs.replace(made.curve[0], step=step) for step in range(1, 1001)]
    found = course(["a", "b"], {0: [structs.replace(made, curve=points)]}).validation[0]
    assert found is not None
    assert len(found.steps) <= POINTS
    assert found.steps[-1] == 1000


def test_curves_with_holes_are_gaps_and_no_course_is_empty() -> None:
    assert course(["a", "b"], {}).validation == [None, None]
    made = record("equal", 1.0, 0.5, problem="wine", seed=0)
    points = curve(0, (0,))
    found = course(["a", "b"], {0: [structs.replace(made, curve=points)]})
    assert found.validation[0] is not None
    assert found.validation[1] is None
    assert found.ends == []


def test_records_from_before_metrics_were_kept_on_the_way_have_no_curves_of_them() -> None:
    made = record("equal", 1.0, 0.5, problem="wine", seed=0)
    before = structs.replace(made, curve=[structs.replace(point, metrics=UNSET) for point in made.curve])
    assert course(["a", "b"], {0: [before]}, made.metrics).metrics == {}
    assert course(["a", "b"], {0: [before], 1: [made]}, made.metrics).metrics["error"].seeds == 1


def test_file_names_are_safe_short_and_different() -> None:
    names = [*HOSTILE, "A b", "a-b", "a_b", "", "aux", "x" * 300, "x" * 299, "gradnorm(alpha=0.12)", "gradnorm", "ö", "ä"]
    found = slugs(names)
    assert len(set(found.values())) == len(set(names))
    for slug in found.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug), slug
        assert len(slug) <= LONGEST + 11
        assert slug not in ("aux", "nul")
    assert found["gradnorm"] == "gradnorm"
    assert slugs(reversed(names)) == found


def planned(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[set[str], str]:
    """The ids of the trials that a command's dry run is about, and what it prints."""
    import shlex

    from benchmark.commands import run

    seen: list[TrialSpec] = []
    say = run._say_plan
    monkeypatch.setattr(
        run, "_say_plan", lambda wanted, store, **flags: (seen.extend(run._trials(wanted, store)), say(wanted, store, **flags))
    )
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "benchmark"]
    with pytest.raises(SystemExit) as exit_:
        cli.main([*words[3:], "--dry-run"])
    shown = capsys.readouterr()
    assert not exit_.value.code, shown.err
    return {spec.id for spec in seen if spec.role == "eval"}, shown.out


@pytest.mark.parametrize(
    ("flags", "entrant"),
    [
        (["--methods", "equal", "--seeds", "2"], "equal"),
        (["--methods", "single_task", "--seeds", "2"], "single_task"),
        (["--methods", "gradnorm", "--set", "gradnorm.alpha=0.12,0.5", "--seeds", "3"], "gradnorm(alpha=0.12)"),
        (
            ["--methods", "pcgrad", "--set", "pcgrad.learning_rate=0.01", "--set", "pcgrad.scale=mean", "--seeds", "1"],
            "pcgrad(learning_rate=0.01, scale=mean)",
        ),
        (["--methods", "fixed", "--set", "fixed.weights=1/2/3", "--problem", "wine", "--seeds", "2"], "fixed(weights=1/2/3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_command_of_a_page_is_accepted_and_names_the_same_trials(
    flags: list[str], entrant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.commands import run

    monkeypatch.chdir(tmp_path)
    wanted: list[TrialSpec] = []
    with monkeypatch.context() as patch:
        patch.setattr(run, "_say_plan", lambda study, store, **_: wanted.extend(run._trials(study, store)))
        with pytest.raises(SystemExit):
            cli.main(["run", "--suite", "smoke", *flags, "--dry-run"])
    specs = [spec for spec in wanted if spec.entrant == entrant and spec.problem == "wine"]
    assert specs
    records = [structs.replace(make(entrant=entrant, problem="wine", seed=0), spec=spec, id=spec.id) for spec in specs]
    found = rerun(records, Search())
    assert found.notes == []
    ids, printed = planned(found.command, monkeypatch, capsys)
    assert ids == {spec.id for spec in specs}
    assert re.search(rf"evaluation +wine +{len(specs)} +0 +{len(specs)}", printed)
    assert list(tmp_path.iterdir()) == []


def test_a_tuned_row_is_run_again_with_its_search() -> None:
    (made,) = [make(entrant="equal", problem="wine", seed=4, suite="mixed", trial=3)]
    found = rerun([made], Search(budget=8, kind="grid", seed=2, rule="normalised_loss"))
    assert "--budget 8 --search grid --study-seed 2 --selection-rule normalised_loss" in found.command
    assert "--seeds 5" in found.command
    assert "--no-baselines" not in found.command


def test_a_command_quotes_what_a_shell_would_run_and_says_what_it_cannot_know() -> None:
    name = "x; rm -rf $HOME `id`\n'"
    found = rerun([make(entrant=name, problem="wine", seed=0, suite="mine")], Search())
    assert "'x; rm -rf $HOME `id`" in found.command
    assert "\n" not in found.command
    assert any("mine" in note and "FILE.toml" in note for note in found.notes)
    assert any("--methods FILE.py" in note for note in found.notes)
    old: RunRecord = make(entrant="equal", problem="wine", seed=0, suite="mixed", problem_version=99, method_version=99, steps=1)
    notes = " ".join(rerun([old], Search()).notes)
    assert "version 99 of the problem" in notes
    assert "version 99 of the method" in notes
    assert "other steps" in notes


def test_the_paths_on_the_pages_are_those_of_the_store(tmp_path: Path) -> None:
    records = study(("wine",), 2)
    store = Store(tmp_path)
    for each in records:
        store.save(each)
    board = on_board(records)
    assert all((tmp_path / store.path(each.spec)).is_file() for each in records)
    assert sum(len(result.trials) for each in board.entrants for result in each.results.values()) == len(records)


def test_hostile_names_make_a_board() -> None:
    board = on_board(hostile())
    assert {each.name for each in board.entrants} == {"single", *HOSTILE}
    assert not any(math.isnan(each.row.delta_m.value) for each in board.entrants)
