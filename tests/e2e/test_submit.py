"""``python -m benchmark submit``: what it refuses, what it writes, and what a maintainer is told of a bundle that somebody changed.

The study is one of a few steps and the findings are made up, except where a test walks the whole way.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import methods
from benchmark import provenance, validation
from benchmark.commands import submit as command
from benchmark.errors import UsageError
from benchmark.records import TrialSpec, decode
from benchmark.submission import bundle, candidate, folder, install, smoke
from benchmark.validation import Validation
from methods.contract import Finding
from tests.e2e.conftest import TINY, Cli, as_between_programs
from tests.e2e.test_results import called

ROOT = Path(methods.__file__).resolve().parents[1]
OWN = '''
import methods


@methods.register(
    methods.Card(
        name="root_norm",
        version=1,
        title="Root | norm <b>",
        paper="You & [me](http://example.org), 2026",
        year=2026,
        family="gramian",
        equation="w_t = n_t^(-1/2)",
        claims=("permutation_equivariant",),
    )
)
class RootNorm(methods.GramianMethod):
    """Every task gradient over the root of its length."""

    def weights(self, gramian, losses):
        return gramian.diagonal() ** -0.25
'''


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch) -> Path:
    """A folder with a method's file, its suite and the records of its study."""
    home = tmp_path_factory.mktemp("submitted")
    (home / "tiny.toml").write_text(TINY, encoding="utf-8")
    (home / "root_norm.py").write_text(OWN, encoding="utf-8")
    patched.setattr(smoke, "SUITE", str(home / "tiny.toml"))
    run = ["run", "--suite", home / "tiny.toml", "--methods", home / "root_norm.py", "--executor", "inline"]
    with as_between_programs():
        assert called(*run, "--results", home / "results") == 0
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, whose file passes validation."""
    monkeypatch.setattr(command, "validate", passes)
    return Path(shutil.copytree(made, tmp_path / "home"))


def passes(path: str) -> Validation:
    """What tells where the file is, in every finding."""
    findings = tuple(Finding(name, "passed", f"{path} in {Path(path).parent}/x.py", 0.0) for name in validation.summaries())
    return Validation("root_norm", path, methods.find("root_norm").digest(), findings, passed=True)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def packed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of it."""
    out = tmp_path_factory.mktemp("packed") / "bundle"
    with pytest.MonkeyPatch.context() as patch, as_between_programs():
        patch.setattr(command, "validate", passes)
        assert called("submit", made / "root_norm.py", "--results", made / "results", "--out", out) == 0
    return out


@pytest.fixture
def submit(cli: Cli, home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *more: cli("submit", home / "root_norm.py", "--results", home / "results", "--out", home / "bundle", *more)


@pytest.fixture
def sent(packed: Path, home: Path) -> Path:
    """A copy of the bundle, for a test to change."""
    return Path(shutil.copytree(packed, home / "bundle"))


def own_records(where: Path) -> list[Path]:
    return sorted(where.rglob("root_norm/*.json"))


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout
    *before, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert all(line.endswith("; validating") for line in before)
    assert all(word in last for word in words), last


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_bundle_is_whole_and_passes_its_check(sent: Path, cli: Cli) -> None:
    names = {path.name for path in sent.iterdir()}
    assert names == {"root_norm.py", "records", *bundle.FILES}
    assert len(own_records(sent)) == 4
    checked = cli("submit", "--check", sent)
    assert checked.returncode == 0, checked.stdout
    assert "verify" in checked.stdout


def test_a_bundle_tells_no_path_of_the_machine(sent: Path, made: Path) -> None:
    for path in sent.rglob("*"):
        if path.is_file():
            assert str(made).encode() not in path.read_bytes(), path
    assert json.loads((sent / "findings.json").read_bytes())["findings"][0]["message"] == "root_norm.py in x.py"


def test_the_text_of_the_pull_request_says_what_a_reviewer_asks_and_shows_foreign_text_as_it_is(sent: Path) -> None:
    text = (sent / "PULL_REQUEST.md").read_text(encoding="utf-8")
    for word in ("w_t = n_t", "permutation", "Δm", "n = 4 of 4", "95 % interval", "costs", "--check", "verify"):
        assert word in text
    assert "<b>" not in text
    assert "[me](" not in text


def test_a_bundle_is_a_folder_of_results(sent: Path, cli: Cli) -> None:
    shown = cli("leaderboard", "--results", sent, "--format", "csv")
    assert re.search(r"root_norm", shown.stdout), shown.stdout


def test_nobodys_folder_is_written_over(sent: Path, submit: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    before = (sent / "PULL_REQUEST.md").stat().st_mtime_ns
    refused(submit(), "is there already", "--out")
    assert (sent / "PULL_REQUEST.md").stat().st_mtime_ns == before


def test_a_place_that_cannot_be_written_is_refused_before_anything_takes_time(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(command, "validate")
    (home / "taken").write_text("a file")
    refused(cli("submit", home / "root_norm.py", "--results", home / "results", "--out", home / "taken" / "bundle"), "cannot be written")


@pytest.mark.parametrize("kept", ["records", "records/tiny/bundle", "verdicts/bundle", "packed/bundle"])
def test_no_bundle_is_put_among_records(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.delattr(command, "validate")
    says = "is there already" if kept == "records" else "where only records belong"
    refused(cli("submit", home / "root_norm.py", "--results", home / "results", "--out", home / "results" / kept), says)


@pytest.mark.parametrize("flag", ["--out", "--install"])
def test_a_full_disk_is_found_before_anything_takes_time(
    home: Path, checkout: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.delattr(command, "validate")
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(install.tempfile, "TemporaryFile", full)
    before = sorted(home.parent.rglob("*"))
    where = ["--out", home / "new" / "bundle"] if flag == "--out" else ["--install"]
    refused(cli("submit", home / "root_norm.py", "--results", home / "results", *where), "No space left on device", "cannot be written")
    assert sorted(home.parent.rglob("*")) == before


def test_a_bundle_that_cannot_be_finished_leaves_nothing(home: Path, tmp_path: Path) -> None:
    found = {"card.json": b"{}", "card.json/x": b""}
    with pytest.raises(UsageError, match="cannot be written"):
        bundle.write(tmp_path / "bundle", found)
    assert not [path for path in tmp_path.iterdir() if "bundle" in path.name]


@pytest.mark.parametrize("lost", [1, 0])
def test_an_incomplete_study_is_refused_with_the_command_that_completes_it(
    submit: Callable[..., subprocess.CompletedProcess[str]], home: Path, lost: int
) -> None:
    if lost:
        own_records(home / "results")[0].unlink()
    else:
        shutil.rmtree(home / "results")
    refused(submit(), f"{lost or 22} of its 22 trials", "python -m benchmark run", f"--results {home / 'results'}")
    assert not (home / "bundle").exists()


def test_records_of_another_text_are_refused(submit: Callable[..., subprocess.CompletedProcess[str]], home: Path) -> None:
    (home / "root_norm.py").write_text(OWN.replace("-0.25", "-0.3"), encoding="utf-8")
    refused(submit(), "4 of 4 records", "another text", "raise version=")
    (home / "root_norm.py").write_text(OWN + "# a remark changes nothing\n", encoding="utf-8")
    assert submit().returncode == 0


def test_baselines_of_another_text_are_refused(submit: Callable[..., subprocess.CompletedProcess[str]], home: Path) -> None:
    edit(baseline(home / "results"), lambda record: record["environment"].update(method_source="0"))
    refused(submit(), "1 of 18 records of baselines (equal)", "new folder", "--results NEW")


def test_failed_trials_are_refused(submit: Callable[..., subprocess.CompletedProcess[str]], home: Path) -> None:
    edit(own_records(home / "results")[0], lambda record: record.update(status="error", message="it\nraised"))
    refused(submit(), "1 of 4 trials failed", "it raised", "--retry failed")


def test_a_validation_that_fails_is_refused_by_the_names_of_its_checks(
    submit: Callable[..., subprocess.CompletedProcess[str]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Validation("root_norm", "", "", (Finding("finite", "failed", "nan at zero gradients", 0.0),), passed=False)
    monkeypatch.setattr(command, "validate", lambda path: broken)
    refused(submit(), "does not pass validate: lacks file", "finite failed: nan at zero gradients", "python -m benchmark validate")
    assert not (home / "bundle").exists()


@pytest.mark.parametrize(
    ("word", "text", "says"),
    [
        ("missing.py", None, "no such method file"),
        (".", None, "is a folder"),
        ("root_norm", None, "expected the file of one method"),
        ("torchjd:UPGrad", None, "no submission"),
        ("own.py:thing", "thing = 1\n", "no submission"),
        ("none.py", "x = 1\n", "registers no method"),
        ("two.py", OWN + OWN.replace('"root_norm"', '"other"'), "expected one method a file"),
        ("broken.py", "def (:\n", "is not Python"),
        ("deep.py", "x = " + "(" * 5000 + ")" * 5000, "Python"),
        ("large.py", "#" * 300_000, "expected at most"),
        ("taken.py", OWN.replace('"root_norm"', '"equal"'), "belongs to"),
        ("module.py", OWN.replace('"root_norm"', '"registry"'), "has for something else"),
        ("word.py", OWN.replace('"root_norm"', '"lambda"'), "is a word of Python"),
        ("dots.py", OWN.replace('"root_norm"', '"../../x"'), "lower-case letters, digits and"),
        ("base.py", OWN.replace("year=2026", "year=2026, baseline=True"), "baseline=True"),
        ("typed.py", OWN.replace("year=2026", "year=1j"), "year is 1j; expected a whole number"),
        ("set.py", OWN.replace("year=2026", "year=2026, hyperparameters=(1,)"), "card cannot be read"),
        ("partial.py", OWN.replace('"root_norm"', '"partial"'), "has for something else"),
        ("importlib.py", OWN.replace('"root_norm"', '"importlib"'), "has for something else"),
        ("list.py", OWN.replace('claims=("permutation_equivariant",)', 'claims=["simplex"]'), "claims is ['simplex']; expected a tuple"),
        ("above.py", "import benchmark.store\n" + OWN, "imports benchmark"),
        ("beside.py", "import broken\n" + OWN, "from its folder"),
    ],
)
def test_what_is_no_submission_is_refused_in_a_line(cli: Cli, elsewhere: Path, word: str, text: str | None, says: str) -> None:
    (elsewhere / "broken.py").write_text("def (:\n", encoding="utf-8")
    if text is not None:
        (elsewhere / word.partition(":")[0]).write_text(text, encoding="utf-8")
    refused(cli("submit", word), says)


def test_a_link_is_no_submission(cli: Cli, home: Path) -> None:
    (home / "link.py").symlink_to(home / "root_norm.py")
    refused(cli("submit", home / "link.py"), "is a link")


def swap(sent: Path) -> None:
    first, second = own_records(sent)[:2]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def method_of_somebody(sent: Path) -> None:
    path = own_records(sent)[0]
    content = json.loads(path.read_bytes())
    content["spec"] |= {"method": "famo", "entrant": "famo"}
    content["id"] = msgspec.convert(content["spec"], TrialSpec).id
    there = path.parents[1] / "famo" / f"{content['id']}.json"
    there.parent.mkdir()
    there.write_text(json.dumps(content), encoding="utf-8")


def installed_one(sent: Path) -> None:
    (sent / "root_norm.py").unlink()
    shutil.copy(ROOT / "methods" / "famo.py", sent)


def link_out(sent: Path) -> None:
    (sent / "environment.json").unlink()
    (sent / "environment.json").symlink_to("/etc/passwd")


def pipe(sent: Path) -> None:
    os.mkfifo(sent / "records" / "pipe.json")


def told(sent: Path, **change: object) -> None:
    edit(sent / "findings.json", lambda content: content.update(change))


def finding(sent: Path, check: str, /, **change: str) -> None:
    def act(content: dict[str, Any]) -> None:
        next(each for each in content["findings"] if each["check"] == check).update(change)

    edit(sent / "findings.json", act)


def baseline(sent: Path) -> Path:
    """A record of one."""
    return next(iter(sorted(sent.rglob("equal/*.json"))))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (link_out, "environment.json: a link"),
    "a pipe": (pipe, "records/pipe.json: no plain file"),
    "a linked folder": (lambda sent: (sent / "records" / "x").symlink_to("/"), "records/x: a link"),
    "a name with two dots": (lambda sent: (sent / "a..json").write_text("{}"), "a..json: expected a name"),
    "a hidden file": (lambda sent: (sent / ".netrc").write_text("x"), ".netrc: expected a name"),
    "terminal codes": (lambda sent: (sent / "a\x1b[2Jb").write_text("x"), "a\\x1b[2Jb: expected a name"),
    "a file too many": (lambda sent: (sent / "setup.cfg").write_text("x"), "setup.cfg: has no place"),
    "another layout": (lambda sent: own_records(sent)[0].write_bytes(own_records(sent)[0].read_bytes() + b" "), "not what submit of this"),
    "a pickle": (lambda sent: (sent / "records" / "model.pkl").write_bytes(b"\x80\x04."), "records/model.pkl: not a record"),
    "verdicts": (lambda sent: shutil.copytree(sent / "records", sent / "verdicts"), ".json: not a verdict"),
    "a second file of Python": (lambda sent: (sent / "setup.py").write_text("x = 1"), "2 files of Python"),
    "too large": (lambda sent: (sent / "card.json").write_bytes(b" " * (folder.LARGEST + 1)), "card.json: larger than"),
    "too many": (lambda sent: [(sent / f"n{i}").touch() for i in range(folder.MOST_NAMES)], "more than 200 names"),
    "too deep": (lambda sent: (sent / "records" / "a" / "b" / "c" / "d" / "e").mkdir(parents=True), "deeper than"),
    "another card": (lambda sent: edit(sent / "card.json", lambda card: card.update(claims=[], year=1)), "card.json: not what submit"),
    "no card": (lambda sent: (sent / "card.json").unlink(), "card.json: missing"),
    "a card that is no object": (lambda sent: (sent / "card.json").write_text("[1]"), "line 1 is '[1]'"),
    "nested JSON": (lambda sent: (sent / "card.json").write_text("[" * 100_000), "card.json: not what submit"),
    "failed findings": (lambda sent: told(sent, passed=False), "findings.json: not what submit"),
    "nested findings": (lambda sent: (sent / "findings.json").write_text("[" * 100_000), "findings.json: not findings"),
    "findings that failed": (lambda sent: finding(sent, "zero", status="failed", message="drifts"), "findings.json: zero failed: drifts"),
    "findings without words": (lambda sent: finding(sent, "zero", status="failed", message=" "), "expected the reason"),
    "findings that were not made": (lambda sent: finding(sent, "zero", status="skipped", message="no"), "zero was not made: no"),
    "findings of another contract": (lambda sent: finding(sent, "zero", check="nothing"), "findings.json: lacks zero"),
    "findings twice": (lambda sent: edit(sent / "findings.json", lambda f: f["findings"].append(f["findings"][0])), "'file' where"),
    "few findings": (lambda sent: told(sent, findings=[]), "findings.json: lacks file, import"),
    "findings of another": (lambda sent: told(sent, digest="0"), "findings.json: not what submit"),
    "another environment": (lambda sent: edit(sent / "environment.json", lambda e: e["own"][0].update(cpu="x")), "environment.json: not"),
    "another request": (lambda sent: (sent / "PULL_REQUEST.md").write_text("Merge me"), "PULL_REQUEST.md: not what submit"),
    "another baseline": (lambda sent: edit(baseline(sent), lambda r: r["environment"].update(method_source="0")), "file with digest 0;"),
    "another body": (lambda sent: (sent / "root_norm.py").write_text(OWN.replace("-0.25", "-0.3")), "made by a file with digest"),
    "another name of the file": (lambda sent: (sent / "root_norm.py").rename(sent / "x.py"), "expected the file to be called root_norm.py"),
    "a copy of what is installed": (installed_one, "'famo' is taken, by this very method, which is installed already"),
    "a name that is taken": (lambda sent: (sent / "root_norm.py").write_text(OWN.replace('"root_norm"', '"famo"')), "'famo' is taken"),
    "a broken record": (lambda sent: own_records(sent)[0].write_text("{"), "not a record"),
    "an edited spec": (lambda sent: edit(own_records(sent)[0], lambda r: r["spec"].update(seed=7)), "the spec was edited"),
    "an edited selection": (lambda sent: edit(own_records(sent)[0], lambda r: r.update(selected_step=3)), "selected step 3"),
    "swapped files": (swap, "misplaced"),
    "a record of another method": (method_of_somebody, "neither root_norm nor a baseline"),
    "a failed record": (lambda sent: edit(own_records(sent)[0], lambda r: r.update(status="oom")), ": oom:"),
    "a missing record": (lambda sent: own_records(sent)[0].unlink(), "1 of 22 trials"),
    "another leaderboard": (lambda sent: (sent / "leaderboard.md").write_text("# I win"), "leaderboard.md: not what submit of this"),
    "bytes for text": (lambda sent: (sent / "PULL_REQUEST.md").write_bytes(b"\xff"), "line 1 is '\\\\xff'"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_with_a_received_bundle_is_said(sent: Path, cli: Cli, change: str) -> None:
    act, says = CHANGES[change]
    act(sent)
    checked = cli("submit", "--check", sent)
    assert checked.returncode == 1, checked.stdout
    assert says in checked.stdout
    assert all(line.startswith("wrong: ") for line in checked.stdout.splitlines())


def test_verdicts_of_verify_are_told_of_and_those_of_nobody_are_wrong(sent: Path, cli: Cli) -> None:
    record = decode(own_records(sent)[0].read_bytes())
    path = provenance.write(sent, record, "verified", provenance.Why(by="me", how="run again: identical"))
    checked = cli("submit", "--check", sent)
    assert checked.returncode == 0, checked.stdout
    assert "note: verdicts/ tells of 1 of 22 records on me; unless you ran verify" in checked.stdout
    path.rename(path.with_name(path.name.replace(record.id, own_records(sent)[1].stem)))
    assert "not a verdict on a record as it is in here" in cli("submit", "--check", sent).stdout


def test_a_record_that_verify_found_to_fail_is_wrong(sent: Path, cli: Cli) -> None:
    record = decode(own_records(sent)[0].read_bytes())
    provenance.write(sent, record, "failed", provenance.Why(by="me", how="run again", note="another\nscore"))
    checked = cli("submit", "--check", sent)
    assert checked.returncode == 1
    assert f"wrong: record {record.id} of root_norm: verify found that it fails: another score" in checked.stdout


def test_a_bundle_is_checked_without_running_it(sent: Path, cli: Cli, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    text = (sent / "root_norm.py").read_text(encoding="utf-8")
    (sent / "root_norm.py").write_text(f"open({str(mark)!r}, 'w')\n{text}", encoding="utf-8")
    assert cli("submit", "--check", sent).returncode == 1
    assert not mark.exists()


@pytest.mark.parametrize("what", ["missing", "a file", "a link"])
def test_what_is_no_bundle_is_refused(cli: Cli, tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / "bundle").write_text("zip")
    elif what == "a link":
        (tmp_path / "bundle").symlink_to(tmp_path)
    refused(cli("submit", "--check", tmp_path / "bundle"), "expected a bundle")


def test_check_goes_with_no_flag_that_it_would_ignore(cli: Cli, sent: Path) -> None:
    refused(cli("submit", "--check", sent, "--install"), "--install does not go with this")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like one; its package ``methods``."""
    for sign in install.SIGNS:
        (tmp_path / "clone" / sign).mkdir(parents=True)
    (tmp_path / "clone" / "methods").mkdir()
    monkeypatch.setattr(install, "package", lambda: tmp_path / "clone" / "methods")
    return tmp_path / "clone" / "methods"


def test_an_installed_file_is_the_submitted_one_and_is_never_written_over(cli: Cli, home: Path, checkout: Path) -> None:
    call = ("submit", home / "root_norm.py", "--results", home / "results", "--install")
    done = cli(*call)
    assert done.returncode == 0, done.stderr
    assert (checkout / "root_norm.py").read_text(encoding="utf-8") == OWN
    assert done.stdout.splitlines()[-2:] == ["  python -m tests.golden.test_weight_traces", "  python scripts/docs.py"]
    assert not list(home.glob("*-submission"))
    (checkout / "root_norm.py").write_text("mine")
    refused(cli(*call), "is there already")
    assert (checkout / "root_norm.py").read_text() == "mine"


def test_an_installation_that_is_cut_off_leaves_nothing(home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*names: object) -> None:
        raise KeyboardInterrupt

    with as_between_programs():
        found = candidate.read(str(home / "root_norm.py"))
        monkeypatch.setattr(os, "link", cut)
        with pytest.raises(KeyboardInterrupt):
            install.install(found, checkout)
        assert not list(checkout.iterdir())


def test_a_file_that_appears_meanwhile_is_not_written_over(home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(here: Path, there: Path) -> None:
        there.write_text("somebody's")
        link(here, there)

    with as_between_programs():
        found = candidate.read(str(home / "root_norm.py"))
        monkeypatch.setattr(os, "link", late)
        with pytest.raises(UsageError, match="is there already"):
            install.install(found, checkout)
        assert [path.read_text() for path in checkout.iterdir()] == ["somebody's"]


def test_install_needs_a_checkout(cli: Cli, home: Path, checkout: Path) -> None:
    (checkout.parent / "CONTRIBUTING.md").rmdir()
    refused(cli("submit", home / "root_norm.py", "--results", home / "results", "--install"), "is no checkout")


@pytest.mark.slow
def test_four_commands_lead_from_the_readme_to_a_row_and_a_bundle(tmp_path: Path) -> None:
    """Each in a process of its own, in a copy of the packages, so that the last one may install. Says what each took."""
    clone = tmp_path / "clone"
    for name in ("methods", "tasks", "benchmark", "scripts", "tests/golden"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "CONTRIBUTING.md", clone)
    took: dict[str, float] = {}

    def call(*arguments: str) -> str:
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(clone), "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        took[" ".join(arguments[:2])] = time.monotonic() - start
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("new", "root_norm", "--family", "gramian")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "root_norm.py").write_text(next(each for each in blocks if "@methods.register" in each), encoding="utf-8")
    call("validate", "root_norm.py")
    board = call("run", "--suite", "smoke", "--methods", "root_norm.py")
    assert re.search(r"root_norm .* self-reported", board)
    call("submit", "root_norm.py")
    assert "whole" in call("submit", "--check", "root_norm-submission")
    verified = call("verify", "root_norm-submission", "--methods", "root_norm-submission/root_norm.py", "--sample", "2")
    assert "nothing failed" in verified
    assert "note: verdicts/ tells of 2 of 33 records" in call("submit", "--check", "root_norm-submission")
    shutil.move(tmp_path / "root_norm.py", tmp_path / "root_norm.txt")
    call("submit", "root_norm-submission/root_norm.py", "--results", "root_norm-submission", "--install")
    dry = call("run", "--suite", "smoke", "--methods", "root_norm", "--dry-run")
    assert re.findall(r"^evaluation +\S+ +(\d+) +(\d+) +0$", dry, re.MULTILINE) == [("18", "18"), ("15", "15")], dry
    print({name: round(seconds, 1) for name, seconds in took.items()})
