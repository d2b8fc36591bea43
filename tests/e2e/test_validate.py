"""Submissions that are broken on purpose: each fails by the check that names its fault, and nothing outside changes. And honest ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import validation
from benchmark.errors import UsageError
from benchmark.sandbox import Limits, landlock
from benchmark.validation import Validation, disguises, leaks, objections, summaries, validate
from methods import contract
from methods.contract import Finding
from tests.e2e.conftest import Cli, as_between_programs

HERE = Path(__file__).parents[1] / "submissions"
BROKEN = sorted((HERE / "broken").glob("*.py"))
HONEST = sorted((HERE / "honest").glob("*.py"))
NAMES = ("equal", "pcgrad", "gradnorm", "rlw", "torchjd:UPGrad", "torchjd:PCGrad", "torchjd:Mean")
LIMITS = Limits(seconds=90.0, memory=2_000_000_000, file_size=1 << 24)
QUICK = {"time": 3.0}
"""Seconds for those that do not end by themselves."""
CONFINED = ("files", "network", "programs")

pytestmark = pytest.mark.skipif(not landlock.version(), reason="no Landlock: what a submission opens is not refused")


OF_THE_CONTRACT = {check.name for check in contract.checks()}


def breaks(path: Path) -> set[str]:
    """The checks that its header names."""
    return set(path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# breaks: ").split(", "))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def submitted(path: Path, folder: Path) -> Path:
    """A copy beside a store with a record, and a home with a secret, which the submission knows of."""
    records = folder / "store" / "records"
    records.mkdir(parents=True)
    (records / "0123.json").write_text('{"score": 1}', encoding="utf-8")
    (folder / "store" / ".netrc").write_text("machine example.org password 1", encoding="utf-8")
    copy = folder / path.name
    copy.write_text(path.read_text(encoding="utf-8").replace("STORE", str(folder / "store")), encoding="utf-8")
    return copy


def failed(found: Validation) -> dict[str, str]:
    return {finding.check: finding.message for finding in found.findings if finding.status == "failed"}


def judged(path: Path, folder: Path, skip: set[str]) -> None:
    copy = submitted(path, folder)
    before = bytes_of(folder)
    wanted = breaks(path)
    seconds = min([QUICK[name] for name in wanted & QUICK.keys()], default=LIMITS.seconds)
    limits = Limits(seconds, LIMITS.memory, LIMITS.processes, LIMITS.file_size)
    with as_between_programs():
        found = validate(str(copy), limits, skip=skip)
    assert wanted <= set(failed(found)), failed(found)
    assert set(failed(found)) <= (OF_THE_CONTRACT if wanted <= OF_THE_CONTRACT else wanted), failed(found)
    assert not found.passed
    assert [finding.check for finding in found.findings] == list(summaries()), "every check is named, made or not"
    assert bytes_of(folder) == before


@pytest.mark.parametrize("path", [path for path in BROKEN if not breaks(path) & OF_THE_CONTRACT - {"builds"}], ids=lambda path: path.stem)
def test_a_broken_submission_fails_by_the_check_that_names_its_fault(path: Path, tmp_path: Path) -> None:
    """Of the contract only one check: the others are gone through in the slow run, and shown to fail in ``tests/contract``."""
    judged(path, tmp_path, OF_THE_CONTRACT - (breaks(path) & OF_THE_CONTRACT or {"zero"}))


@pytest.mark.slow
@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_submission_fails_by_that_check_among_all(path: Path, tmp_path: Path) -> None:
    """And by no other; but an update that is not finite, say, breaks several checks of the contract."""
    judged(path, tmp_path, set())


def test_the_catalogue_is_large_and_its_headers_name_checks() -> None:
    assert len(BROKEN) >= 66
    assert {name for path in BROKEN for name in breaks(path)} <= set(summaries())
    without = set(summaries()) - {name for path in BROKEN for name in breaks(path)}
    assert without == {"devices", "cost"}  # one needs a GPU, the other a method that takes a hundred times as long


def passes(submission: str, skip: set[str]) -> None:
    with as_between_programs():
        found = validate(submission, LIMITS, skip=skip)
    assert failed(found) == {}
    assert found.passed
    assert found.digest


@pytest.mark.parametrize("submission", [*map(str, HONEST), *NAMES], ids=lambda text: Path(text).stem)
def test_an_honest_submission_is_run_in_the_sandbox_unharmed(submission: str) -> None:
    passes(submission, {check.name for check in contract.checks()} - {"zero", "state"})


@pytest.mark.slow
@pytest.mark.parametrize("submission", [*map(str, HONEST), *NAMES], ids=lambda text: Path(text).stem)
def test_an_honest_submission_passes(submission: str) -> None:
    passes(submission, set())


def test_findings_are_a_pass_only_where_every_check_was_made() -> None:
    every = [Finding(name, "passed", "", 0.0) for name in summaries()]
    assert list(objections(every)) == []
    skipped = [Finding(each.check, "skipped", "no need", 0.0) for each in every]
    optional = ("card", "devices", "weights", "derivatives")
    assert [line.partition(" ")[0] for line in objections(skipped)] == [name for name in summaries() if name not in optional]
    assert list(objections(skipped, skip=summaries())) == []
    assert list(objections(every[1:])) == ["lacks file"]
    assert list(objections([*every, every[0]])) == ["has check 'file' where it has no place"]
    assert list(objections([every[1], every[0], *every[2:]])) == ["has check 'import' where it has no place"]


def test_links_and_large_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(HONEST[0])
    (tmp_path / "large.py").write_text("#" * (validation.LARGEST + 1), encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    for name, message in (("link.py", "no file of its own"), ("large.py", "262,145 bytes"), ("folder.py", "no file of its own")):
        found = validate(str(tmp_path / name))
        assert message in failed(found)["file"]
        assert {finding.status for finding in found.findings[1:]} == {"skipped"}
    with pytest.raises(UsageError, match=r"nothing\.py: No such file"):
        validate(str(tmp_path / "nothing.py"))
    with pytest.raises(UsageError, match="did you mean 'pcgrad'"):
        validate("pcgard")


def test_a_secret_is_found_however_it_is_written() -> None:
    secret = {"HF_TOKEN": "q-V3_example+value"}
    for how, forms in disguises(secret["HF_TOKEN"]).items():
        for form in forms:
            assert leaks([f"a {form[:5]}\n{form[5:]} b"], secret) == ("HF_TOKEN" if how == "plain" else f"HF_TOKEN ({how})")
    assert leaks(["nothing to see"], secret) == ""


def test_the_command_says_it_in_a_table_or_as_one_document(cli: Cli, tmp_path: Path) -> None:
    good = cli("validate", HERE / "honest" / "power_sum.py", "--json")
    document = json.loads(good.stdout)
    assert (good.returncode, document["passed"], document["name"]) == (0, True, "power_sum")
    assert [finding["check"] for finding in document["findings"]] == list(summaries())
    bad = cli("validate", HERE / "broken" / "writes_beside_itself.py")
    assert bad.returncode == 1
    assert "failed: files" in bad.stdout
    assert max(map(len, bad.stdout.splitlines())) <= 140
    for flags, part in ((["--time", "soon"], "120s"), (["--memory", "4 apples"], "4GB"), (["--memory", "1MB"], "at least 500 MB")):
        wrong = cli("validate", "equal", *flags)
        assert wrong.returncode == 2
        assert part in wrong.stderr
        assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("edits_a_record", "error"),
        ("prints_secrets", "ok"),
        ("allocates_without_end", "oom"),
        ("forks_without_end", "error"),
        ("hangs", "timeout"),
        ("leaves_in_the_middle", "error"),
        ("opens_a_socket", "error"),
    ],
)
def test_in_a_study_it_is_one_failed_record_and_the_store_is_intact(
    name: str, status: str, cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.executors.local.share", lambda parts: 1_500_000_000)
    store = tmp_path / "results"
    study = ["run", "--suite", tiny, "--problem", "wine", "--seeds", 1, "--results", store, "--no-baselines", "--jobs", 2]
    assert cli(*study, "--methods", "equal").returncode == 0
    before = bytes_of(store / "records")
    copy = tmp_path / f"{name}.py"
    (record,) = (store / "records").rglob("*.json")
    text = (HERE / "broken" / f"{name}.py").read_text(encoding="utf-8")
    copy.write_text(text.replace("STORE/records/0123.json", str(record)), encoding="utf-8")
    ran = cli(*study, "--methods", f"equal,{copy}", "--timeout", 15)
    assert ran.returncode == 0, ran.stderr
    after = bytes_of(store / "records")
    assert {path: after[path] for path in before} == before
    (new,) = after.keys() - before.keys()
    assert json.loads(after[new])["status"] == status
