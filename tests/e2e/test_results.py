"""``python -m benchmark results``: pack, unpack, merge and check from the command line, on good and bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from benchmark.records import RunRecord, decode, encode
from benchmark.store import Store
from tests.e2e.conftest import TINY, Cli, called

METHODS = "equal,rlw"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a small study."""
    folder = tmp_path_factory.mktemp("made")
    suite = folder / "tiny.toml"
    suite.write_text(TINY, encoding="utf-8")
    run = ["run", "--suite", str(suite), "--methods", METHODS, "--executor", "inline", "--results", str(folder / "results")]
    assert called(*run) == 0
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    folder = tmp_path / "results"
    for record in Store(made / "results").scan().records:
        Store(folder).save(record)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {record.id: encode(record) for record in Store(folder).scan().records}


def test_a_packed_study_has_nothing_to_run_and_the_same_table(made: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bytes_of(results)
    assert called("leaderboard", "--results", results, "--format", "json") == 0
    table = capsys.readouterr().out
    assert called("results", "pack", "--results", results) == 0
    assert f"packed {len(before)} records" in capsys.readouterr().out
    assert not list(Store(results).loose([]))
    assert called("leaderboard", "--results", results, "--format", "json") == 0
    assert capsys.readouterr().out == table
    arguments = ["run", "--suite", made / "tiny.toml", "--methods", METHODS, "--executor", "inline", "--results", results]
    assert called(*arguments) == 0
    assert not list(Store(results).loose([])), "nothing was run again"
    assert bytes_of(results) == before
    capsys.readouterr()
    assert called("results", "check", "--results", results) == 0
    assert f"{len(before)} in 1 files" in capsys.readouterr().out
    assert called("show", next(iter(before)), "--results", results) == 0
    assert capsys.readouterr().out.encode() == before[next(iter(before))]
    assert called("status", "--results", results) == 0
    assert "complete" in capsys.readouterr().out
    assert called("results", "unpack", "--results", results) == 0
    assert bytes_of(results) == before
    assert not list((results / "packed").iterdir())


def test_a_packed_failure_is_run_again_and_the_new_record_counts(made: Path, results: Path) -> None:
    store = Store(results)
    record = next(record for record in store.scan().records if record.spec.method == "equal")
    store.save(msgspec.structs.replace(record, status="error", message="lost", test={}, validation={}))
    assert called("results", "pack", "--results", results) == 0
    arguments = ["run", "--suite", made / "tiny.toml", "--methods", METHODS, "--executor", "inline", "--results", results]
    called(*arguments)
    assert not list(store.loose([])), "a failure is a record"
    called(*arguments, "--retry", "failed")
    assert [path.stem for path in store.loose([])] == [record.id]
    again = Store(results).get(record.spec)
    assert again is not None
    assert again.status == "ok"
    assert called("results", "check", "--results", results) == 0


def test_empty_folders_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("pack",), ("unpack",), ("check",), ("merge", tmp_path / "nowhere")):
        assert called("results", *arguments, "--results", tmp_path / "empty") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "empty").exists()


def test_merging_takes_what_is_new_in_both_forms(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Store(results).scan().records
    ours, loose, packed = tmp_path / "ours", tmp_path / "loose", tmp_path / "packed"
    for folder, some in ((ours, records[:3]), (loose, records[1:6]), (packed, records[4:])):
        for record in some:
            Store(folder).save(record)
    assert called("results", "pack", "--results", packed) == 0
    before = {path: path.read_bytes() for folder in (loose, packed) for path in folder.rglob("*") if path.is_file()}
    assert called("results", "merge", loose, "--results", ours) == 0
    assert "3 records added, 2 were there already" in capsys.readouterr().out
    assert called("results", "merge", packed, "--results", ours) == 0
    assert f"{len(records) - 6} records added, 2 were there already" in capsys.readouterr().out
    assert bytes_of(ours) == bytes_of(results)
    assert called("results", "merge", packed, "--results", ours) == 0
    assert "0 records added" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert called("results", "merge", ours, "--results", ours) == 2


@pytest.mark.parametrize("form", ["loose", "packed"])
def test_a_conflict_is_refused_until_somebody_says_whose_record_stays(
    results: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, new = Store(tmp_path / "theirs"), None
    record = next(record for record in Store(results).scan().records if record.status == "ok")
    changed = msgspec.structs.replace(record, status="diverged", message="lost", test={}, validation={})
    theirs.save(changed)
    for other in Store(results).scan().records[:4]:
        if other.id != record.id:
            new = other
            theirs.save(other)
    assert new is not None
    Store(results).path(new.spec).unlink()
    if form == "packed":
        assert called("results", "pack", "--results", theirs.root) == 0
        assert called("results", "pack", "--results", results) == 0
    before = bytes_of(results)
    capsys.readouterr()
    assert called("results", "merge", theirs.root, "--results", results) == 2
    error = capsys.readouterr().err
    assert record.id in error
    assert "--prefer ours or --prefer theirs" in error
    assert bytes_of(results) == before, "nothing was merged"
    assert called("results", "merge", theirs.root, "--prefer", "nobody", "--results", results) == 2
    assert called("results", "merge", theirs.root, "--prefer", "ours", "--results", results) == 0
    assert bytes_of(results) == before | {new.id: encode(new)}
    assert called("results", "merge", theirs.root, "--prefer", "theirs", "--results", results) == 0
    assert Store(results).get(record.spec) == changed


def test_what_is_damaged_is_named_and_left(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(results)
    records = store.scan().records
    cut = store.path(records[0].spec)
    cut.write_bytes(cut.read_bytes()[:200])
    copy = store.path(records[1].spec).with_name("copy.json")
    copy.write_bytes(encode(records[1]))
    assert called("results", "pack", "--results", results) == 0
    assert capsys.readouterr().err.count("warning: skipped") == 2
    assert {path.name for path in store.loose([])} == {cut.name, "copy.json"}
    older = decode(encode(records[2]))
    spec = msgspec.structs.replace(older.spec, protocol=0)
    store.save(msgspec.structs.replace(older, id=spec.id, spec=spec))
    assert called("results", "check", "--results", results) == 1
    error = capsys.readouterr().err
    assert f"{cut.name}: not a record" in error
    assert "misplaced" in error
    assert "records that cannot be compared: 1 of protocol 0" in error
    (pack,) = (results / "packed").glob("*.parquet")
    pack.write_bytes(pack.read_bytes()[:-50])
    assert called("results", "check", "--results", results) == 1
    assert "its end is missing" in capsys.readouterr().err
    other = tmp_path / "other"
    assert called("results", "merge", results, "--results", other) == 0
    assert capsys.readouterr().err.count("warning: skipped") == 3


def test_two_different_records_of_one_trial_are_wrong_and_alike_ones_are_not(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(results)
    record = next(record for record in store.scan().records if record.status == "ok")
    assert called("results", "pack", "--results", results) == 0
    store.save(record)
    assert called("results", "check", "--results", results) == 0
    assert "both loose and packed, alike" in capsys.readouterr().out
    store.save(msgspec.structs.replace(record, status="degraded"))
    assert called("results", "check", "--results", results) == 1
    assert "is no failure" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [results, *(path for path in results.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert called("results", "pack", "--results", results) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert called("results", "check", "--results", results) == 0
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_no_room_for_packed_files_is_one_line_and_nothing_is_lost(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bytes_of(results)
    (results / "packed").write_text("a file where the folder should be")
    assert called("results", "pack", "--results", results) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write")
    assert len(error.splitlines()) == 1
    assert bytes_of(results) == before


@pytest.mark.slow
def test_killed_at_any_moment_packing_loses_nothing(results: Path, cli: Cli) -> None:
    store = Store(results)
    first: RunRecord = store.scan().records[0]
    for seed in range(100, 500):
        spec = msgspec.structs.replace(first.spec, seed=seed)
        store.save(msgspec.structs.replace(first, id=spec.id, spec=spec))
    before = bytes_of(results)
    command = [sys.executable, "-m", "benchmark", "results", "pack", "--results", str(results)]
    began = time.monotonic()
    subprocess.run([*command[:-1], str(results / "none")], capture_output=True, check=False)
    start = time.monotonic() - began
    for wait in (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(start + wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert bytes_of(results) == before
    assert called("results", "pack", "--results", results) == 0
    assert not list(store.loose([]))
    assert bytes_of(results) == before
