"""Methods and problems of others: of packages by their entry points, and problems that a user names by file or module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.sandbox import landlock, places
from methods import registry
from tasks import outside
from tests.e2e.conftest import Cli

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "scripts" / "examples" / "lossbench_example"
SUITE = EXAMPLE / "suite.toml"


def laid_out(site: Path) -> None:
    """What installing the example writes, as far as finding it goes."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "lossbench_example", site / "lossbench_example", ignore=shutil.ignore_patterns("__pycache__"))
    announce(site, project["name"], project["entry-points"])


def announce(site: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    info = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [line for group, entries in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in entries.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def on_path(site: Path) -> str:
    return os.pathsep.join([str(site), str(ROOT)])


def records(results: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (results / "records").rglob("*.json")]
    return [record for record in found if record["spec"]["method"] == "example_root"]


def works(program: Cli, site: Path, results: Path) -> None:
    listed = program("list", "methods", PYTHONPATH=on_path(site))
    assert listed.returncode == 0, listed.stderr
    assert "example_root" in listed.stdout
    shown = program("show", "example_line", PYTHONPATH=on_path(site))
    assert shown.returncode == 0, shown.stderr
    assert "two linear functions" in shown.stdout
    flags = ("--suite", SUITE, "--methods", "example_root", "--results", results, "--jobs", 1, "--device", "cpu")
    ran = program("run", *flags, PYTHONPATH=on_path(site))
    assert ran.returncode == 0, ran.stderr
    made = records(results)
    assert [record["status"] for record in made] == ["ok", "ok"]
    for record in made:
        assert record["environment"]["method_package"] == record["environment"]["problem_package"] == "lossbench-example 0.1.0"


def test_a_package_brings_a_method_and_a_problem_that_workers_find_too(program: Cli, tmp_path: Path) -> None:
    laid_out(tmp_path / "site")
    works(program, tmp_path / "site", tmp_path / "results")


@pytest.mark.slow
def test_the_example_package_installs_with_pip(program: Cli, tmp_path: Path) -> None:
    source = shutil.copytree(EXAMPLE, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target", tmp_path / "site", source]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert installed.returncode == 0, installed.stderr
    works(program, tmp_path / "site", tmp_path / "results")


def test_broken_packages_take_nothing_from_the_others(program: Cli, tmp_path: Path) -> None:
    site = tmp_path / "site"
    laid_out(site)
    (site / "raises_on_import.py").write_text("raise RuntimeError('no such driver')\n")
    (site / "takes_names.py").write_text("from lossbench_example.problems import Line\nPROBLEMS = [Line()]\n")
    announce(site, "zz-gone", {"lossbench.methods": {"a": "not_there.at_all"}, "lossbench.problems": {"b": "not_there.at_all"}})
    announce(site, "zz-raises", {"lossbench.methods": {"a": "raises_on_import.inner"}, "lossbench.problems": {"b": "raises_on_import"}})
    announce(site, "zz-clash", {"lossbench.problems": {"b": "takes_names"}})
    listed = program("list", "methods", PYTHONPATH=on_path(site))
    assert listed.returncode == 0, listed.stderr
    assert "example_root" in listed.stdout
    wrong = program("show", "example_lime", PYTHONPATH=on_path(site))
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1
    code = "import methods.registry as m, tasks, json; print(json.dumps([m.left_out(), tasks.problems_left_out(), list(tasks.problems())]))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": on_path(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    of_methods, of_problems, names = json.loads(said.stdout)
    assert "example_line" in names
    assert len(of_methods) == 2
    assert len(of_problems) == 3
    for _, line in [*of_methods, *of_problems]:
        assert "\n" not in line
        assert line.startswith("package zz-")
    assert any("no such driver" in line for _, line in of_problems)
    assert any("belongs to another problem" in line for _, line in of_problems)
    assert listed.stderr.splitlines() == [f"{line}; mend or remove that package" for _, line in of_methods]


def test_known_names_import_nothing_foreign(tmp_path: Path) -> None:
    (tmp_path / "raises_on_import.py").write_text("raise SystemExit('imported')\n")
    announce(tmp_path, "zz-raises", {"lossbench.problems": {"b": "raises_on_import"}})
    code = "import sys, tasks; tasks.problem('digits'); tasks.suite('smoke'); print('raises_on_import' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": on_path(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False"]


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_suite_names_a_problem_in_a_file_beside_it(program: Cli, tmp_path: Path, executor: str) -> None:
    text = (EXAMPLE / "lossbench_example" / "problems.py").read_text().replace("example_line", "mine")
    (tmp_path / "my_problem.py").write_text(text)
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.read_text().replace('"example_line"', '"my_problem.py:Line"'))
    flags = ("--suite", suite, "--methods", "equal", "--no-baselines", "--results", tmp_path / "results", "--jobs", 1, "--device", "cpu")
    ran = program("run", *flags, "--executor", executor, PYTHONPATH=str(ROOT))
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(path.read_text()) for path in (tmp_path / "results" / "records").rglob("*.json")]
    assert [record["status"] for record in made] == ["ok", "ok"]
    for record in made:
        assert (record["spec"]["problem"], record["spec"]["problem_version"]) == ("mine", 1)
        assert record["environment"]["problem_source"]
    (tmp_path / "my_problem.py").write_text(text.replace("size=(2, 8, 1)", "size=(2, 8, 1), loc=1.0"))
    again = program("run", *flags, "--executor", executor, PYTHONPATH=str(ROOT))
    assert again.returncode == 2
    assert "raise version= on its card" in again.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.py:X", "no such file"),
        ("bad.py:THING", "is of type int"),
        ("bad.py:THONG", "did you mean 'THING'?"),
        ("bad.py:", "expected MODULE:OBJECT or FILE.py:OBJECT"),
        ("raises.py:X", "no such driver"),
        ("not_there:X", "not_there"),
    ],
)
def test_a_problem_that_cannot_be_had_is_one_line(cli: Cli, elsewhere: Path, name: str, said: str) -> None:
    (elsewhere / "bad.py").write_text("THING = 1\n")
    (elsewhere / "raises.py").write_text("raise RuntimeError('no such driver')\n")
    ran = cli("prepare", "--problem", name)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package whose method and problem cannot be had."""
    (tmp_path / "zz_broken.py").write_text("raise RuntimeError('\x1b[2J')\n")
    announce(tmp_path, "zz-broken", {"lossbench.methods": {"zz_method": "zz_broken"}, "lossbench.problems": {"zz_problem": "zz_broken"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    for found in (registry._others, outside._installed):
        found.cache_clear()
    yield
    for found in (registry._others, outside._installed):
        found.cache_clear()


def test_a_list_names_what_is_missing_in_it_and_what_to_do(broken: None, cli: Cli) -> None:
    for what, reason in (("methods", "registers no method"), ("problems", "RuntimeError: \\x1b[2J")):
        ran = cli("list", what)
        assert ran.returncode == 0
        (line,) = ran.stderr.splitlines()
        assert line.startswith(f"package zz-broken 0.1.0: entry point 'zz_{what[:-1]}' of lossbench.{what} is left out: ")
        assert reason in line
        assert line.endswith("; mend or remove that package")
    assert cli("list", "suites").stderr == ""


def test_a_study_tells_of_broken_packages_where_they_are_asked_for(broken: None, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    study = ("run", "--suite", tiny, "--dry-run", "--results", tmp_path / "results", "--methods")
    assert cli(*study, "equal").stderr == ""
    assert cli(*study, "all").stderr == "left out: 1 entry points of other packages (why: python -m benchmark list methods)\n"
    ran = cli(*study, "zz_method")
    assert ran.returncode == 2
    assert "entry point 'zz_method' of lossbench.methods is left out: " in ran.stderr
    ran = cli("prepare", "--problem", "zz_problem")
    assert ran.returncode == 2
    assert "entry point 'zz_problem' of lossbench.problems is left out: " in ran.stderr


LATE = """
import methods

@methods.register(methods.Card(name="late", version=1, title="T", paper="-", year=2026, family="loss", equation="the sum"))
class Late(methods.LossMethod):
    def objective(self, losses):
        return losses.sum()

raise RuntimeError("registered, and then this")
"""


def test_a_method_whose_module_fails_after_registering_it_fails_in_every_trial_wherever_it_runs(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(LATE)
    for executor in ("inline", "local"):
        flags = ("--suite", tiny, "--problem", "gradnorm_toy", "--methods", tmp_path / "late.py", "--no-baselines", "--jobs", 1)
        ran = cli("run", *flags, "--device", "cpu", "--executor", executor, "--results", tmp_path / executor)
        assert ran.returncode == 0, ran.stderr
        made = [json.loads(path.read_text()) for path in (tmp_path / executor / "records").rglob("*.json")]
        assert [(record["status"], record["message"]) for record in made] == [("error", "RuntimeError: registered, and then this")] * 2


NOSY = """
import methods

@methods.register(methods.Card(name="nosy", version=1, title="T", paper="-", year=2026, family="loss", equation="the sum"))
class Nosy(methods.LossMethod):
    def objective(self, losses):
        for name, mode in {tried}:
            try:
                open("{folder}/" + name, mode).close()
            except PermissionError:
                continue
            raise RuntimeError(name + " could be opened")
        return losses.sum()
"""
DATA = """
from pathlib import Path
HERE = Path(__file__).parent
SCALE = float((HERE / "data" / "scale.txt").read_text()) + len([*HERE.glob("*.csv")]) + len((HERE / "more.csv").read_text())
"""


@pytest.mark.skipif(not landlock.version(), reason="no Landlock")
def test_a_problem_reads_its_own_folder_where_a_method_cannot_write_nor_see_what_is_hidden(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine" / "data").mkdir(parents=True)
    text = (EXAMPLE / "lossbench_example" / "problems.py").read_text().replace("example_line", "mine")
    text = text.replace("import annotations\n", f"import annotations\n{DATA}", 1)
    for name, content in {
        "problem.py": text, "data/scale.txt": "2.0", "more.csv": "1", ".key": "secret",
    }.items():  # fmt: skip
        (tmp_path / "mine" / name).write_text(content)
    tried = [(".key", "r"), ("new", "w"), ("data/new", "w"), ("data/scale.txt", "a"), ("problem.py", "a")]
    (tmp_path / "nosy.py").write_text(NOSY.format(tried=tried, folder=tmp_path / "mine"))
    (tmp_path / "mine.toml").write_text(SUITE.read_text().replace('"example_line"', '"mine/problem.py:Line"'))
    results = tmp_path / "results"
    flags = ("--suite", tmp_path / "mine.toml", "--methods", tmp_path / "nosy.py", "--no-baselines", "--seeds", 1, "--jobs", 1)
    ran = cli("run", *flags, "--device", "cpu", "--results", results)
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(path.read_text()) for path in (results / "records").rglob("*.json")]
    assert [(record["status"], record.get("message", "")) for record in made] == [("ok", "")]


def test_of_a_home_only_files_can_be_read_beside_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("folder", ".hidden", "inner"):
        (tmp_path / name).mkdir()
    for name in ("problem.py", "data.csv", ".netrc", "inner/problem.py"):
        (tmp_path / name).touch()
    inner = tmp_path / "inner"
    assert places.beside(tmp_path / "problem.py") == (tmp_path / "data.csv", tmp_path / "folder", inner, tmp_path / "problem.py")
    for home in (tmp_path, inner):
        monkeypatch.setenv("HOME", str(home))
        assert places.beside(tmp_path / "problem.py") == (tmp_path / "data.csv", tmp_path / "problem.py")
    assert places.beside(inner / "problem.py") == (inner / "problem.py",)
