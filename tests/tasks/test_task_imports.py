"""What an import of ``tasks`` costs, and what happens where an optional package is missing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from tasks.errors import require

PACKAGE = Path(tasks.__file__).parent


def test_listing_problems_and_suites_imports_no_heavy_package() -> None:
    code = (
        "import sys, tasks\n"
        "[p.card for p in tasks.problems().values()]\n"
        "[p.require() for p in tasks.problems().values()]\n"
        "[tasks.suite(name) for name in tasks.suite_names()]\n"
        "print([name for name in ('torch', 'numpy', 'sklearn', 'scipy', 'torchmetrics', 'datasets', 'moocore') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert result.stdout.strip() == "[]"


def test_tasks_imports_neither_methods_nor_benchmark() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"methods", "benchmark"}, path


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_missing_scikit_learn_names_the_extra_before_any_work(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # what find_spec and import see of a package that is not installed
    problem = tasks.problem(name)
    message = rf"^problem '{name}' needs scikit-learn: pip install 'lossbench\[suites\]'$"
    for attempt in (problem.require, problem.fingerprint, lambda: problem.open(seed=0, batch_size=8)):
        with pytest.raises(tasks.MissingDependency, match=message):
            attempt()


def test_missing_package_without_an_extra_is_named_itself() -> None:
    with pytest.raises(tasks.MissingDependency, match=r"^x needs no_such_package: pip install no_such_package$"):
        require(["torch", "no_such_package"], "x")


def test_a_missing_hypervolume_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moocore", None)
    message = r"^problem 'zdt1' needs moocore: pip install 'lossbench\[suites\]'$"
    for attempt in (tasks.problem("zdt1").require, lambda: tasks.problem("zdt1").open(seed=0, batch_size=1)):
        with pytest.raises(tasks.MissingDependency, match=message):
            attempt()


def test_generated_regressions_need_nothing() -> None:
    assert not tasks.problem("gradnorm_toy").card.requires
    tasks.problem("gradnorm_toy").require()
    assert issubclass(tasks.MissingDependency, tasks.TaskError)
    assert issubclass(tasks.TaskError, ValueError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digts", "unknown problem 'digts'; did you mean 'digits'? (list them: python -m benchmark list problems)"),
        ("zzz", "unknown problem 'zzz' (list them: python -m benchmark list problems)"),
    ],
)
def test_unknown_problem(name: str, message: str) -> None:
    with pytest.raises(tasks.TaskError) as caught:
        tasks.problem(name)
    assert str(caught.value) == message
