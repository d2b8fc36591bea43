"""What the documents say is what the code says, and what the README shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Cli

ROOT = Path(__file__).parents[2]


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).is_file(), (name, target)


def test_generated_parts_are_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True, timeout=600)


def test_the_loop_of_the_readme_trains() -> None:
    import torch
    from torch.nn.functional import cross_entropy, l1_loss

    torch.manual_seed(0)
    trunk, classes, depths = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3), torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD([*trunk.parameters(), *classes.parameters(), *depths.parameters()], lr=0.1)
    x, y, depth = torch.randn(16, 4), torch.randint(3, (16,)), torch.randn(16, 1)
    names = {"trunk": trunk, "classes": classes, "depths": depths, "optimizer": optimizer, "loader": [(x, y, depth)] * 50}
    before = (cross_entropy(classes(trunk(x)), y) + l1_loss(depths(trunk(x)), depth)).item()
    exec(compile(python_blocks("README.md")[0], "README.md", "exec"), {**names, "cross_entropy": cross_entropy, "l1_loss": l1_loss})
    assert (cross_entropy(classes(trunk(x)), y) + l1_loss(depths(trunk(x)), depth)).item() < before


def test_the_step_on_several_batches_of_the_readme_runs() -> None:
    import torch

    import methods

    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"trunk": torch.nn.Linear(4, 8), "one": torch.nn.Linear(8, 1), "two": torch.nn.Linear(8, 1)})

    def losses_of(model: torch.nn.ModuleDict, x: torch.Tensor) -> list[torch.Tensor]:
        z = model["trunk"](x)
        return [model["one"](z).square().mean(), (model["two"](z) - 1).square().mean()]

    text = compile(python_blocks("README.md")[1], "README.md", "exec")
    for name in methods.names():
        if methods.get(name).extra_batches:
            loader = iter([torch.randn(16, 4) for _ in range(3)])
            exec(text, {"balancer": methods.create(name, num_tasks=2), "loader": loader, "losses_of": losses_of, "model": model})
            assert len(list(loader)) == 2 - methods.get(name).extra_batches
            assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_methods_of_the_documents_run(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    for index, text in enumerate((python_blocks("README.md")[2], python_blocks("CONTRIBUTING.md")[0])):
        path = tmp_path / f"inverse_norm_{index}.py"
        path.write_text(text, encoding="utf-8")
        ran = cli("run", "--suite", tiny, "--methods", path, "--no-baselines", "--executor", "inline", "--results", tmp_path / str(index))
        assert ran.returncode == 0, ran.stderr
        assert "0 failed" in ran.stderr


def test_the_published_leaderboard_is_what_its_records_say(cli: Cli) -> None:
    flags = ("--results", str(ROOT / "results" / "standard"), "--suite", "standard", "--format", "md", "--out", "-")
    assert cli("leaderboard", *flags).stdout == (ROOT / "results" / "README.md").read_text(encoding="utf-8")
