"""A mistake in the call: one line that names it, exit 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmark import cli as command_line

BROKEN = "import nothing_like_this\n\nclass Method: ...\n"

CASES = {
    "unknown method": (["run", "--suite", "smoke", "--methods", "pcgard"], "'pcgard'", "did you mean 'pcgrad'"),
    "unknown suite": (["run", "--suite", "smok"], "'smok'", "did you mean 'smoke'"),
    "missing suite file": (["run", "--suite", "no/such.toml"], "no/such.toml", "read"),
    "unknown problem": (["run", "--suite", "smoke", "--problem", "whine"], "'whine'", "did you mean 'wine'"),
    "unknown hyperparameter": (["run", "--suite", "smoke", "--set", "gradnorm.alpah=1"], "'alpah'", "did you mean 'alpha'"),
    "value out of range": (["run", "--suite", "smoke", "--set", "gradnorm.alpha=-1"], "-1", "[0, 10]"),
    "value of the wrong type": (["run", "--suite", "smoke", "--set", "gradnorm.alpha=much"], "'much'", "number"),
    "value that is no choice": (["run", "--suite", "smoke", "--set", "mgda.solver=exakt"], "'exakt'", "did you mean 'exact'"),
    "setting without a value": (["run", "--suite", "smoke", "--set", "gradnorm.alpha"], "gradnorm.alpha", "METHOD.HYPERPARAMETER=VALUE"),
    "setting of an absent method": (["run", "--suite", "smoke", "--methods", "pcgrad", "--set", "mgda.solver=exact"], "'mgda'", "not in"),
    "setting the task of single-task training": (
        ["run", "--suite", "smoke", "--set", "single_task.task=1"],
        "single_task.task",
        "every task",
    ),
    "unknown executor": (["run", "--suite", "smoke", "--executor", "locale"], "'locale'", "did you mean 'local'"),
    "unknown device": (["run", "--suite", "smoke", "--device", "gpu"], "'gpu'", "auto, cpu, cuda"),
    "unknown retry": (["run", "--suite", "smoke", "--retry", "fialed"], "'fialed'", "did you mean 'failed'"),
    "no seeds": (["run", "--suite", "smoke", "--seeds", "0"], "--seeds", "0"),
    "a study seed beyond counting": (["run", "--suite", "smoke", "--study-seed", "9" * 30], "--study-seed", "2,147,483,647"),
    "an exploration on a cluster": (
        ["run", "--suite", "smoke", "--executor", "ray", "--address", "127.0.0.1:9", "--search", "optuna", "--budget", "2"],
        "--address",
        "--search optuna",
    ),
    "no budget": (["run", "--suite", "smoke", "--budget", "none"], "--budget", "none"),
    "negative jobs": (["run", "--suite", "smoke", "--jobs", "-1"], "--jobs", "-1"),
    "no time": (["run", "--suite", "smoke", "--timeout", "0"], "--timeout", "0"),
    "no methods": (["run", "--suite", "smoke", "--methods", ","], "--methods", "expected"),
    "missing method file": (["run", "--suite", "smoke", "--methods", "mine.py"], "mine.py", "no such"),
    "unknown module": (["run", "--suite", "smoke", "--methods", "torchJD:UPGrad"], "'torchJD'", "did you mean 'torchjd'"),
    "missing file of an object": (["run", "--suite", "smoke", "--methods", "mine.py:total"], "mine.py", "no such file"),
    "object without a name": (["run", "--suite", "smoke", "--methods", "torchjd:"], "'torchjd:'", "MODULE:OBJECT"),
    "object with arguments": (["run", "--suite", "smoke", "--methods", "torchjd:CAGrad(c=0.5)"], "torchjd:CAGrad(c=0.5)", "--set"),
    "unknown object": (["run", "--suite", "smoke", "--methods", "methods.errors:sugestion"], "'sugestion'", "did you mean 'suggestion'"),
    "object that is not shown": (["show", "methods.errors:sugestion"], "'sugestion'", "did you mean 'suggestion'"),
    "unknown flag": (["run", "--suite", "smoke", "--sedes", "3"], "--sedes", "--seeds"),
    "flag without value": (["run", "--suite"], "--suite", "requires"),
    "unknown command": (["rum"], "'rum'", "Did you mean 'run'"),
    "unknown format": (["leaderboard", "--format", "cvs"], "'cvs'", "did you mean 'csv'"),
    "no records": (["leaderboard"], "no records", "benchmark run"),
    "unknown list": (["list", "method"], "'method'", "did you mean 'methods'"),
    "unknown name": (["show", "pcgard"], "'pcgard'", "did you mean 'pcgrad'"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_exit_2_nothing_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, *expected = CASES[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        command_line.main(arguments)
    shown = capsys.readouterr()
    assert exit_.value.code == 2
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1, shown.err
    assert all(part in shown.err for part in expected), shown.err
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["run", "--suite", "smoke", "--results", str(tmp_path / "results")])
    assert exit_.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_method_file_that_registers_nothing_or_is_no_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text, expected in (("empty.py", BROKEN, "registers no method"), ("broken.py", "def (", "is not Python")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit) as exit_:
            command_line.main(["run", "--suite", "smoke", "--methods", str(tmp_path / name), "--results", str(tmp_path / "results")])
        assert exit_.value.code == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_every_flag_has_help() -> None:
    for command in ("run", "prepare", "plot", "leaderboard", "list", "show"):
        shown = CliRunner().invoke(command_line.app, [command, "--help"])
        assert shown.exit_code == 0
        assert "--help" in shown.output
