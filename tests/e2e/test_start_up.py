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


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], HEAVY),
        (["run", "--help"], HEAVY),
        (["sweep", "--help"], HEAVY),
        (["plot", "--help"], HEAVY),
        (["site", "--help"], HEAVY),
        (["list", "methods"], HEAVY),
        (["list", "problems"], HEAVY),
        (["list", "suites"], HEAVY),
        (["show", "gradnorm"], HEAVY),
        (["show", "wine"], HEAVY),
        (["status", "--help"], HEAVY),
        (["verify", "--help"], HEAVY),
        (["run", "--suite", "smoke", "--dry-run"], ("torch", "ray", "wandb", "datasets")),
        (["run", "--suite", "smoke", "--dry-run", "--methods", "sklearn.metrics:log_loss"], ("torch", "sklearn.metrics")),
        (["show", "torch.nn.functional:softplus"], HEAVY),
        (["reproduce"], ("torch", "ray", "wandb", "datasets", "sklearn", "matplotlib")),
        (["reproduce", "published-QM9"], ("torch", "ray", "wandb", "datasets", "sklearn", "matplotlib")),
        (["leaderboard", "--published"], ("torch", "ray", "wandb", "datasets", "sklearn", "matplotlib")),
        (["leaderboard", "--published", "NYUv2", "--results", "nowhere"], ("torch", "ray", "wandb", "datasets", "sklearn", "matplotlib")),
    ],
    ids=" ".join,
)
def test_imports_nothing_heavy(arguments: list[str], heavy: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom benchmark.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as exit_:\n    assert not exit_.code, exit_.code\n"
        f"print('HEAVY', sorted(set({heavy!r}) & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.splitlines()[-1] == "HEAVY []"


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
