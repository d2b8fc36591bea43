"""Objects of other code in a study: planned without running them, recorded and resumed like everything else."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import cli as command_line
from benchmark.records import RunRecord
from benchmark.store import Store
from methods.foreign import source
from tests.e2e.conftest import Cli

MINE = """
import contextlib
from pathlib import Path
import torch
with contextlib.suppress(PermissionError):  # where it is confined
    Path(__file__).with_suffix(".ran").touch()

def total(losses, power=1.0):
    return losses.sum() ** power

def broken(losses):
    raise RuntimeError("no idea what to do")

class Learned(torch.nn.Module):
    def __init__(self, num_tasks):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.rand(num_tasks))

    def forward(self, losses):
        return (self.gain.exp() * losses - self.gain).sum() + 0.01 * torch.rand_like(losses) @ losses

learned = Learned(3)
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    known = dict(source._known)
    yield
    source._known.clear()
    source._known.update(known)


def here(*command: object) -> None:
    """A run in this process, as a program of its own would do it."""
    source._known.clear()
    with pytest.raises(SystemExit) as exit_:
        command_line.main([*map(str, command), "--executor", "inline"])
    if exit_.value.code:
        raise exit_.value


def found(folder: Path) -> dict[str, RunRecord]:
    scan = Store(folder).scan()
    assert scan.damaged == []
    return {record.spec.entrant: record for record in scan.records}


def test_a_study_of_torchjd_and_a_file(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "mine.py", tmp_path / "results"
    path.write_text(MINE, encoding="utf-8")
    torchjd = ["torchjd:Mean"] if importlib.util.find_spec("torchjd") else []
    names = ",".join([*torchjd, *(f"{path}:{name}" for name in ("total", "broken", "Learned", "learned"))])
    command = ["run", "--suite", tiny, "--problem", "wine", "--seeds", 1, "--methods", f"equal,{names}", "--no-baselines"]
    command += ["--set", "mine.py:total.power=1,2"]

    program = (
        "import sys\nfrom benchmark.cli import main\n"
        f"try:\n    main({[str(word) for word in [*command, '--results', folder, '--dry-run']]!r})\n"
        "except SystemExit as exit_:\n    assert not exit_.code, exit_.code\n"
        "print('LOADED', sorted({'torch', 'torchjd'} & set(sys.modules)))"
    )
    planned = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert planned.stdout.splitlines()[-1] == "LOADED []"
    assert "mine.py:total(power=2)" in planned.stdout
    assert not path.with_suffix(".ran").exists()
    assert not folder.exists()

    ran = cli(*command, "--results", folder, "--jobs", 2)
    assert ran.returncode == 0, ran.stderr
    records = found(folder)
    objects = ["total(power=1)", "total(power=2)", "broken", "Learned", "learned"]
    assert set(records) == {"equal", *torchjd, *(f"mine.py:{name}" for name in objects)}
    assert records["mine.py:broken"].status == "error"
    assert "no idea what to do" in records["mine.py:broken"].message
    assert all(record.status == "ok" for entrant, record in records.items() if entrant != "mine.py:broken")
    assert records["mine.py:total(power=1)"].environment["method_source"]
    if torchjd:
        assert str(records["torchjd:Mean"].spec.release).startswith("torchjd ")
        assert records["torchjd:Mean"].test == pytest.approx(records["equal"].test, rel=1e-3)
    rows = json.loads(cli("leaderboard", "--format", "json", "--results", folder).stdout)["rows"]
    assert {row["entrant"] for row in rows} == set(records)

    assert "0 trials run" in cli(*command, "--results", folder).stderr
    inline = tmp_path / "inline"
    here(*command, "--results", inline)
    assert {e: (r.id, r.test, r.status) for e, r in found(inline).items()} == {e: (r.id, r.test, r.status) for e, r in records.items()}


def test_a_file_that_changed_under_its_records_is_refused_until_its_version_grows(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    command = ["run", "--suite", tiny, "--problem", "wine", "--seeds", 1, "--methods", f"{path}:total", "--no-baselines"]
    command += ["--results", tmp_path / "results"]
    path.write_text(MINE, encoding="utf-8")
    here(*command)
    path.write_text(MINE.replace("sum()", "prod()"), encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        here(*command)
    assert exit_.value.code == 2
    assert "raise __version__ in mine.py" in capsys.readouterr().err
    path.write_text("__version__ = 2\n" + MINE.replace("sum()", "prod()"), encoding="utf-8")
    here(*command)
    assert "1 trials run" in capsys.readouterr().err


def test_an_object_of_a_module_beside_the_caller(program: Cli, tiny: Path, tmp_path: Path) -> None:
    package = tmp_path / "elsewhere" / "mypackage"  # where the command runs
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "losses.py").write_text(MINE, encoding="utf-8")
    command = ["run", "--suite", tiny, "--problem", "wine", "--seeds", 1, "--methods", "mypackage.losses:total", "--no-baselines"]
    assert "0 failed" in program(*command, "--results", tmp_path / "results", "--jobs", 1).stderr
    assert found(tmp_path / "results")["mypackage.losses:total"].status == "ok"
