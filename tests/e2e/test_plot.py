"""``python -m benchmark plot``: what it writes, and what it says instead."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

import tasks
from benchmark import cli as command_line
from benchmark import pictures, plot
from benchmark.errors import UsageError
from benchmark.plan import choose_entrants
from tasks import Locations
from tasks.gallery import Confusion, Curves, Field, Panel, Picture, Scatter, Trajectory
from tests.e2e.test_start_up import BLOCK

matplotlib = pytest.importorskip("matplotlib")

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["plot", *arguments])
    shown = capsys.readouterr()
    assert exit_.value.code == 2
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    return shown.err


def drawn(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Path:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["plot", *arguments])
    shown = capsys.readouterr()
    assert exit_.value.code == 0, shown.err
    return Path(shown.out.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["digits", "--steps", "3"],
        ["wine", "--method", "equal,gradnorm", "--steps", "3", "--out", "wine.svg"],
        ["gradnorm_toy", "--steps", "2", "--out", "regressions.pdf"],
        ["two_objective", "--methods", "equal,mgda", "--set", "mgda.solver=exact", "--seeds", "2", "--steps", "5"],
        ["toy", "--methods", "equal", "--seeds", "2", "--steps", "3", "--out", "toy.svg"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_draws_a_file_and_prints_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = drawn([*arguments, "--device", "cpu"], capsys)
    assert path == Path(arguments[arguments.index("--out") + 1] if "--out" in arguments else f"{arguments[0]}.png")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes().startswith(SIGNATURES[path.suffix])


def test_the_same_run_gives_the_same_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.svg", "b.svg"):
        drawn(["vlmop2", "--methods", "equal,pcgrad", "--seeds", "2", "--steps", "5", "--out", str(tmp_path / name)], capsys)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "vlmop2" in text
    assert "pcgrad" in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["digts"], ["'digts'", "did you mean 'digits'"]),
        (["mixed"], ["'mixed'", "known front", "digits, wine"]),
        (["digits", "--methods", "eqal"], ["'eqal'", "did you mean 'equal'"]),
        (["digits", "--set", "gradnorm.alpha=1"], ["'gradnorm'", "not in"]),
        (["digits", "--steps", "0"], ["--steps", "0"]),
        (["digits", "--seeds", "few"], ["--seeds", "few"]),
        (["digits", "--device", "gpu"], ["'gpu'", "auto, cpu, cuda"]),
        (["digits", "--out", "digits.jpeg"], ["digits.jpeg", ".png, .svg"]),
        (["digits", "--out", "no/such/folder.png"], ["no/such", "no folder"]),
        (["digits", "--data-dir", "nowhere"], ["--data-dir", "nowhere"]),
        (["wine", "gradnorm.alpha"], ["plot wine gradnorm.alpha", "sensitivity only", "plot sensitivity gradnorm.alpha"]),
        (["wine", "--suite", "mixed"], ["--suite", "reads no records"]),
        (["two_objective", "--methods", "prior_loss"], ["prior_loss", "prior_losses"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line_and_write_nothing(
    arguments: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(arguments, capsys)
    assert all(part in said for part in parts), said
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken.png").mkdir()
    said = refused(["wine", "--out", str(tmp_path / "taken.png")], capsys)
    assert "taken.png" in said
    assert "cannot be written" in said


def test_a_picture_that_is_there_survives_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.png"
    path.write_bytes(b"as it was")
    pictures.check(path)
    refused(["wine", "--methods", "eqal", "--out", str(path)], capsys)
    assert path.read_bytes() == b"as it was"


def test_without_matplotlib_the_extra_is_named(tmp_path: Path) -> None:
    program = BLOCK.format(names={"matplotlib"}) + "from benchmark.cli import main\nmain(['plot', 'wine'])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "lossbench[plot]" in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_run_is_said_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["wine", "--set", "equal.learning_rate=1e6", "--steps", "200", "--out", str(tmp_path / "wine.png")], capsys)
    assert "wine" in said
    assert "losses are" in said or "is nan" in said or "is inf" in said


def test_a_shorter_run_on_a_front_takes_longer_steps() -> None:
    (problem,) = plot.chosen("two_objective")
    (entrant,) = choose_entrants(["equal"], [])
    spec = plot.specification(problem, entrant, 3, None, Locations())
    assert spec.steps * spec.learning_rate == pytest.approx(problem.card.steps * problem.card.learning_rate)
    assert spec.seed == 3
    assert plot.specification(problem, entrant, 0, problem.card.steps, Locations()).learning_rate == problem.card.learning_rate
    (pinned,) = choose_entrants(["equal"], ["equal.learning_rate=0.5"])
    assert plot.specification(problem, pinned, 0, None, Locations()).learning_rate == 0.5


def test_a_learning_rate_is_halved_as_the_card_says() -> None:
    problem, front = tasks.problem("wine"), tasks.problem("vlmop1")
    (entrant,) = choose_entrants(["equal"], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "card", replace(problem.card, halve_every=30), raising=False)
        assert plot.specification(problem, entrant, 0, None, Locations()).halve_every == 30
    assert plot.specification(front, entrant, 0, None, Locations()).halve_every is msgspec.UNSET


def test_the_pixels_of_every_panel(tmp_path: Path) -> None:
    """Every kind of panel at once: nothing raises or warns, and a class or value has its colour."""
    heat = np.linspace(0, 1, 48).reshape(6, 8)
    heat[0, 0] = np.nan
    line = np.linspace(0, 1, 5)
    plane = Field(line, line, np.outer(line, line))
    panels: list[Panel] = [
        Picture("input", np.random.default_rng(0).uniform(0, 1, (6, 8, 3))),
        Picture("class", np.arange(48).reshape(6, 8) % 13 - 1, "classes", (0, 12)),
        Picture("many", np.arange(48).reshape(6, 8), "classes", (0, 47)),
        Picture("depth", heat, "heat", unit="m"),
        Picture("grey", np.nan_to_num(heat), "grey"),
        Scatter("regression", line, line + 1),
        Scatter("a large one", np.zeros(600), np.ones(600)),
        Confusion("identity", np.eye(3, dtype=np.int64) * 4, ("ash", "beech", "oak")),
        Confusion("empty class", np.zeros((30, 30), dtype=np.int64)),
        Curves("tones", (("red", line, line), ("blue", line, line**2)), ("in", "out")),
        Trajectory("way", np.stack([line, 1 - line], 1), (np.stack([line, line], 1),), ("a", "b"), plane),
    ]
    pictures.gallery([pictures.Block("first", [panels, panels[:1]]), pictures.Block("second", [panels[5:7]])], tmp_path / "all.png")
    pixels = matplotlib.image.imread(tmp_path / "all.png")
    assert pixels.shape[1] > 900
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 200


def test_long_rows_are_cut_evenly() -> None:
    row = [Scatter(str(i), np.zeros(1), np.zeros(1)) for i in range(10)]
    lines = pictures._lines(row)
    assert [len(line) for line in lines] == [5, 5]
    assert [len(line) for line in pictures._lines(row[:9])] == [5, 5]
    assert pictures._lines(row[:9])[1][-1] is None
    assert [len(line) for line in pictures._lines(row[:8])] == [8]
    assert pictures._lines([]) == []


def test_ends_that_are_not_finite_dominate_nothing(tmp_path: Path) -> None:
    front = (np.array([(0.0, 1.0), (1.0, 0.0)]),)
    lost = Trajectory("lost", np.array([(2.0, 2.0), (np.nan, np.inf)]), front, ("L1", "L2"), objectives=True)
    home = Trajectory("home", np.array([(2.0, 2.0), (0.0, 1.0)]), front, ("L1", "L2"), objectives=True)
    assert pictures._share([lost]) == 0
    assert pictures._share([lost, home]) == pictures._share([home]) > 0
    pictures.trajectories([{"a": [lost], "b": [lost, home]}], "some lost", tmp_path / "ways.png")


@pytest.mark.parametrize("name", ["way.gif", "way"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a file name that ends in"):
        pictures.check(tmp_path / name)
