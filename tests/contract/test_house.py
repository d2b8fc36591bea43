"""Rules of the house, read from the source: which way imports run, what is swallowed, what must not be needed."""

import ast
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import methods

ROOT = Path(methods.__file__).parents[1]
PACKAGES = ("methods", "tasks", "benchmark")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
NEVER = {"methods": {"tasks", "benchmark"}, "tasks": {"methods", "benchmark"}, "benchmark": set()}
OPTIONAL = ["ray", "wandb", "datasets", "pyarrow", "huggingface_hub", "PIL", "sklearn", "skimage", "matplotlib", "torchjd", "moocore"]
OPTIONAL += ["plotly", "jinja2", "markupsafe"]
METHODS_NEED_NONE_OF = [*OPTIONAL, "msgspec", "typer", "rich"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def at_import(path: Path) -> set[str]:
    """Top-level packages that importing the file imports at once."""
    names = set()
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_run_one_way() -> None:
    assert not [label(path) for path in FILES if imported(path) & NEVER[path.relative_to(ROOT).parts[0]]]


def test_optional_packages_are_imported_where_they_are_used() -> None:
    assert not [label(path) for path in FILES if at_import(path) & set(OPTIONAL)]


def test_a_large_package_is_used_in_one_place() -> None:
    places = {
        "datasets": {"tasks/tables.py"},
        "huggingface_hub": {"tasks/tables.py"},
        "pyarrow": {"tasks/tables.py", "benchmark/packed.py"},
        "PIL": {"tasks/pixels.py"},
        "plotly": {"benchmark/site/write.py"},
        "jinja2": {"benchmark/site/pages.py"},
        "markupsafe": {"benchmark/site/pages.py"},
    }
    used: dict[str, set[str]] = {package: set() for package in places}
    for path in FILES:
        for package in imported(path) & places.keys():
            used[package].add(label(path))
    assert used == places


def test_no_exception_is_swallowed() -> None:
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                where = f"{label(path)}:{node.lineno}"
                assert node.type is not None, f"{where}: a bare except"
                empty = all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body)
                assert not empty, f"{where}: an exception is swallowed"


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {METHODS_NEED_NONE_OF!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
"""


def test_methods_work_with_every_other_package_blocked() -> None:
    code = """
import torch, methods
theta = torch.nn.Parameter(torch.ones(3))
for name in methods.names():
    balancer = methods.create(name, 2, initial_losses=[1.0, 2.0], prior_losses=[1.0, 2.0])
    if balancer.calibration_batches:
        balancer.calibrate(torch.ones(1, 2))
    losses = lambda k=0: [theta.sum(), theta.square().sum()]
    balancer.backward(losses(), shared=[theta], evaluate=losses)
print(len(methods.names()))
"""
    assert int(python(BLOCK + code)) == len(methods.names())


def test_names_and_cards_need_no_torch() -> None:
    code = "import sys, methods; [methods.card(n) for n in methods.names()]; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert python(code).split() == ["False", "False"]


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_what_a_script_imports_of_the_packages_is_there(path: Path) -> None:
    """Scripts are not type-checked, and a name that has moved is otherwise seen by the first who runs one."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}"), alias.name


def test_the_default_device_of_the_first_import_is_that_of_no_constant() -> None:
    """Method files are imported when a method is made, maybe under ``torch.device``: what they make then must stay on the host."""
    code = """
import torch, methods

with torch.device("meta"):
    for name in methods.names():
        methods.get(name)
wrong = []
for name in [name for name in methods.names() if methods.card(name).family == "loss"]:
    balancer = methods.create(name, 3, initial_losses=[1.0] * 3, prior_losses=[1.0] * 3)
    balancer.calibrate(torch.ones(1, 3))
    for step in range(60):
        x = torch.ones(3, requires_grad=True)
        balancer.backward(list(x.square() + 1 + step % 3))
        balancer.after_step(list(x.detach().square() + 1))
    if not x.grad.isfinite().all():
        wrong.append(name)
assert not wrong, wrong
"""
    python(code)
