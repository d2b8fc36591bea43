"""What must be instant, and what must work where optional packages are missing."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli

HEAVY = ("torch", "ray", "wandb", "datasets", "sklearn", "scipy", "numpy", "matplotlib", "moocore", "jinja2", "plotly")
BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def cpu_seconds(*command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def test_help_takes_under_0_3_s_of_cpu() -> None:
    assert min(cpu_seconds(sys.executable, "-m", "benchmark", "--help") for _ in range(5)) < 0.3


LIGHT = {
    HEAVY: (
        "--help", "run --help", "sweep --help", "plot --help", "site --help", "status --help", "verify --help", "list methods",
        "list problems", "list suites", "show gradnorm", "show wine", "show torch.nn.functional:softplus",
    ),
    ("torch", "ray", "wandb", "datasets"): ("run --suite smoke --dry-run",),
    ("torch", "sklearn.metrics"): ("run --suite smoke --dry-run --methods sklearn.metrics:log_loss",),
    ("torch", "ray", "wandb", "datasets", "sklearn", "matplotlib"): (
        "reproduce", "reproduce published-QM9", "leaderboard --published", "leaderboard --published NYUv2 --results nowhere",
    ),
}  # fmt: skip
"""What must not be imported, and by which commands."""


@pytest.mark.parametrize("heavy", LIGHT, ids=lambda heavy: f"{LIGHT[heavy][0]}, ...")
def test_imports_nothing_heavy(heavy: tuple[str, ...]) -> None:
    """The commands one after the other in one program: what none of them imported all along, each of them does not import alone."""
    program = f"""
import sys
from benchmark.cli import main
for command in {LIGHT[heavy]!r}:
    try:
        main(command.split())
    except SystemExit as exit_:
        assert not exit_.code, (command, exit_.code)
    found = sorted(set({heavy!r}) & set(sys.modules))
    assert not found, (command, found)
print("\\nall", len({LIGHT[heavy]!r}))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == f"all {len(LIGHT[heavy])}"


def test_leaderboard_needs_no_torch(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    ran = cli("run", "--suite", tiny, "--methods", "equal", "--results", tmp_path / "results", "--executor", "inline")
    assert ran.returncode == 0, ran.stderr
    program = BLOCK.format(names={"torch", "ray", "sklearn"}) + (
        f"from benchmark.cli import main\nmain(['leaderboard', '--results', {str(tmp_path / 'results')!r}])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "equal" in shown.stdout


def test_a_missing_package_is_named_with_its_extra_before_the_first_trial(tmp_path: Path) -> None:
    arguments = ["run", "--suite", "mixed", "--results", str(tmp_path / "results")]
    program = BLOCK.format(names={"sklearn"}) + f"from benchmark.cli import main\nmain({arguments!r})"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "lossbench[suites]" in shown.stderr
    assert not (tmp_path / "results").exists()
