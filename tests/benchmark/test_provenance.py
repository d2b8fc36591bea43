from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from benchmark import provenance
from benchmark.folders import StoreError
from tests.made import make

WHY = provenance.Why(by="torch 2.13.0, cpu", how="run again: identical")


def test_no_folder_is_no_verdict(tmp_path: Path) -> None:
    assert provenance.read(tmp_path) == ({}, [])
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_is_on_the_record_as_it_was(tmp_path: Path) -> None:
    first, second = make({"error": 1.0}), make({"error": 2.0}, seed=1)
    provenance.write(tmp_path, first, "verified", WHY)
    provenance.write(tmp_path, second, "failed", WHY)
    known, wrong = provenance.read(tmp_path)
    assert wrong == []
    assert [provenance.word(record, known) for record in (first, second, make(seed=2))] == ["verified", "failed", None]
    for edit in ({"test": {"error": 1.5}}, {"environment": {"device": "cuda"}}, {"status": "error"}):
        assert provenance.word(msgspec.structs.replace(first, **edit), known) is None


def test_a_new_verdict_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    record = make({"error": 1.0})
    provenance.write(tmp_path, record, "failed", WHY)
    known, _ = provenance.read(tmp_path)
    path = provenance.write(tmp_path, record, "verified", WHY, known[record.id])
    assert list((tmp_path / "verdicts").iterdir()) == [path]
    assert msgspec.json.decode(path.read_bytes(), type=provenance.Why) == WHY


def test_of_two_verdicts_on_one_content_the_worse_counts(tmp_path: Path) -> None:
    record = make({"error": 1.0})
    for word in provenance.WORDS:
        provenance.write(tmp_path, record, word, WHY)
    assert provenance.word(record, provenance.read(tmp_path)[0]) == "failed"


@pytest.mark.parametrize("name", ["abc.json", "x.txt", f"{'a' * 20}-{'b' * 20}-{'c' * 20}-perfect.json", f"{'a' * 20}-verified.json"])
def test_what_is_no_verdict_is_named_and_left(tmp_path: Path, name: str) -> None:
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / name).write_text("{}", encoding="utf-8")
    found, wrong = provenance.read(tmp_path)
    assert found == {}
    assert len(wrong) == 1
    assert wrong[0].startswith(f"verdicts/{name}: not a verdict")
    assert (tmp_path / "verdicts" / name).exists()


def test_a_disk_that_refuses_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "verdicts").write_text("a file in its place", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        provenance.write(tmp_path, make({"error": 1.0}), "verified", WHY)
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts"]


def test_reading_opens_no_file_of_a_verdict(tmp_path: Path) -> None:
    records = [make({"error": 1.0}, seed=seed) for seed in range(20)]
    for record in records:
        provenance.write(tmp_path, record, "verified", WHY).chmod(0)
    with patch("builtins.open", side_effect=AssertionError), patch.object(Path, "read_bytes", side_effect=AssertionError):
        known, _ = provenance.read(tmp_path)
    assert provenance.of(records, known).status == "verified"


def test_the_place_says_what_is_common_and_where_runs_differ() -> None:
    one, two = ({"lossbench": "0.1.0", "torch": "2.13.0", "device": device} for device in ("cpu", "NVIDIA H100"))
    same = provenance.of([make(environment=one, seed=seed) for seed in range(2)], {})
    assert same.place == "LossBench 0.1.0, torch 2.13.0, cpu"
    assert provenance.of([make(environment=one), make(environment=two, seed=1)], {}).place == "LossBench 0.1.0, torch 2.13.0, mixed"
    begun = [make(environment=one), make(status="error", seed=1)]  # the second failed before it knew where it was
    assert provenance.of(begun, {}).place == same.place
    assert provenance.of([make()], {}).place == provenance.of([], {}).place == "unknown"
