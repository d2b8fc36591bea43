from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.records import BadRecord, RunRecord, TrialSpec, encode
from benchmark.store import Store, StoreError
from tests.made import SPEC, make

GOOD = {"error": 0.25, "accuracy": 0.5}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def everything(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_what_is_saved_is_found_again(store: Store) -> None:
    record = make(GOOD, seed=3)
    path = store.save(record)
    assert path.relative_to(store.root).as_posix() == f"records/toy/digits/equal/{record.id}.json"
    assert store.get(record.spec) == record
    assert store.has(record.spec)
    assert store.has(record.id)
    assert store.ids() == {record.id}
    assert store.index() == {record.id: path}
    assert store.scan().records == [record]
    assert not store.has(make(seed=4).spec)
    assert not store.has("0" * 20)
    assert store.get(make(seed=4).spec) is None


def test_a_record_of_the_same_trial_is_replaced(store: Store) -> None:
    store.save(make(status="timeout"))
    store.save(make(GOOD))
    assert [record.status for record in store.scan().records] == ["ok"]
    assert len(everything(store.root)) == 1


def test_looking_at_a_store_that_is_not_there_creates_nothing(store: Store) -> None:
    assert store.scan().records == []
    assert store.scan().damaged == []
    assert store.ids() == frozenset()
    assert store.index() == {}
    assert not store.has(make().spec)
    assert not store.root.exists()


@pytest.mark.parametrize("field", ["suite", "problem", "method"])
@pytest.mark.parametrize("name", ["..", ".", "", ".hidden", "a/b", "a\\b", "/etc", "a b", "a\n", "ü", "a\x00"])
def test_a_name_cannot_lead_out_of_the_store(store: Store, field: str, name: str) -> None:
    spec = TrialSpec(**{**SPEC, field: name})
    record = RunRecord(id=spec.id, spec=spec, status="error")
    with pytest.raises(StoreError, match=f"{field} .* cannot name a folder"):
        store.save(record)
    assert not store.root.exists()


FOREIGN = {
    "torchjd:UPGrad": "torchjd--UPGrad",
    "torchjd.scalarization:Mean": "torchjd-2escalarization--Mean",
    "my-losses.py:geometric": "my-2dlosses-2epy--geometric",
    "my losses.py:geometric": "my-20losses-2epy--geometric",
    "aux.py:con": "aux-2epy--con",  # names of devices on Windows, which a dot does not make safe there
    "..:f": "-2e-2e--f",
    "../../etc:f": "-2e-2e-2f-2e-2e-2fetc--f",
    "C:\\losses.py:f": "C---5closses-2epy--f",
    'a<b>"c|d?e*f.py:f': "a-3cb-3e-22c-7cd-3fe-2af-2epy--f",
    "größe.py:f": "gr-c3-b6-c3-9fe-2epy--f",
    "a--b:f": "a-2d-2db--f",
    "a:b:f": "a--b--f",
    "a\n.py:f": "a-0a-2epy--f",
}


@pytest.mark.parametrize("method", FOREIGN)
def test_an_adapted_object_has_a_folder_that_is_safe_everywhere(store: Store, method: str) -> None:
    spec = TrialSpec(**{**SPEC, "method": method})
    record = RunRecord(id=spec.id, spec=spec, status="error")
    path = store.save(record)
    assert path.relative_to(store.root).as_posix() == f"records/toy/digits/{FOREIGN[method]}/{record.id}.json"
    assert store.scan().records == [record]


def decoded(folder: str) -> str:
    """The name whose folder this is."""
    return re.sub(
        rb"-(-|[0-9a-f]{2})", lambda found: b":" if found[1] == b"-" else bytes.fromhex(found[1].decode()), folder.encode()
    ).decode()


@given(place=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1), thing=st.text(alphabet="ab_-:.Z9", min_size=1))
def test_different_adapted_objects_have_different_folders(place: str, thing: str) -> None:
    spec = TrialSpec(**{**SPEC, "method": f"{place}:{thing}"})
    folder = Store(Path("root")).path(spec).parent.name
    assert re.fullmatch(r"[A-Za-z0-9_-]+", folder)
    assert decoded(folder) == spec.method


def test_damaged_records_are_named_skipped_and_kept(store: Store) -> None:
    good = make(GOOD, seed=9)
    home = store.save(good).parent
    whole = encode(make(GOOD))
    edited = json.loads(whole)
    edited["spec"]["seed"] = 77
    out_of_range = json.loads(encode(make({"error": 0.25, "accuracy": 0.5}, seed=5)))
    out_of_range["test"]["accuracy"] = 50.0
    bad = {
        "truncated": (whole[:100], "truncated"),
        "empty": (b"", "truncated"),
        "foreign": (b'{"name": "package", "version": 3}', "missing required field"),
        "list": (b"[]", "Expected `object`"),
        "binary": (b'{"schema": 1, "id": "\xff\xfe"}', "can't decode"),
        "deep": (b'{"schema": 1, "x": ' + b"[" * 100_000, "recursion"),
        "edited": (json.dumps(edited).encode(), "does not match its spec"),
        "percent": (json.dumps(out_of_range).encode(), "outside its legal range"),
        "copy": (encode(good), f"belongs at records/toy/digits/equal/{good.id}.json"),
    }
    for name, (data, _) in bad.items():
        (home / f"{name}.json").write_bytes(data)
    (home / "notes.txt").write_text("not ours")
    before = everything(store.root)
    scan = store.scan()
    assert scan.records == [good]
    found = {damaged.path: damaged.reason for damaged in scan.damaged}
    assert set(found) == {f"records/toy/digits/equal/{name}.json" for name in bad}
    for name, (_, reason) in bad.items():
        assert reason in found[f"records/toy/digits/equal/{name}.json"]
        assert "\n" not in found[f"records/toy/digits/equal/{name}.json"]
    assert everything(store.root) == before
    assert store.ids() == {good.id}


def test_what_lies_beside_the_records_is_left_alone(store: Store) -> None:
    store.save(make(GOOD))
    beside = store.root / "bench" / "steps.json"  # measurements are kept there
    beside.parent.mkdir()
    beside.write_text("{}", encoding="utf-8")
    store.check_writable()
    found = store.scan()
    assert (len(found.records), found.damaged, len(store.index())) == (1, [], 1)
    assert beside.read_text(encoding="utf-8") == "{}"


def test_a_damaged_record_is_run_again_and_set_aside(store: Store) -> None:
    record = make(GOOD)
    path = store.save(record)
    path.write_bytes(path.read_bytes()[:50])
    assert not store.has(record.spec)
    with pytest.raises(BadRecord, match=record.id):
        store.get(record.spec)
    store.save(record)
    assert store.get(record.spec) == record
    assert path.with_name(f"{path.name}.damaged").stat().st_size == 50
    assert store.scan().damaged == []


def test_a_record_from_elsewhere_cannot_name_a_path(store: Store) -> None:
    spec = TrialSpec(**{**SPEC, "suite": "../.."})
    folder = store.root / "records" / "x"
    folder.mkdir(parents=True)
    (folder / f"{spec.id}.json").write_bytes(encode(RunRecord(id=spec.id, spec=spec, status="error")))
    assert "cannot name a folder" in store.scan().damaged[0].reason


def test_what_could_not_be_read_back_is_not_written(store: Store) -> None:
    with pytest.raises(StoreError, match="outside its legal range"):
        store.save(make({"accuracy": 1.5}))
    with pytest.raises(StoreError, match="not a record"):
        store.save(make({"error": float("nan")}))
    assert not store.root.exists()


def test_leftovers_of_a_killed_run_are_ignored_and_cleared_when_stale(store: Store) -> None:
    home = store.save(make(GOOD)).parent
    fresh, stale = home / ".abc.1.ffff.tmp", home / ".abc.2.ffff.tmp"
    for path in (fresh, stale):
        path.write_bytes(b"{")
    os.utime(stale, (time.time() - 7200,) * 2)
    assert len(store.scan().records) == 1
    assert store.scan().damaged == []
    store.check_writable()
    assert fresh.exists()
    assert not stale.exists()


def test_check_writable_creates_the_store_and_leaves_no_trace(store: Store) -> None:
    store.check_writable()
    assert (store.root / "records").is_dir()
    assert everything(store.root) == set()


def test_a_root_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for store in (Store(tmp_path / "file"), Store(tmp_path / "file" / "deeper")):
        with pytest.raises(StoreError, match=r"cannot write to .*; choose another folder") as caught:
            store.check_writable()
        assert "\n" not in str(caught.value)
        with pytest.raises(StoreError, match="cannot write"):
            store.save(make(GOOD))


def test_a_disk_that_fails_leaves_no_half_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make(status="timeout")
    store.save(old)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.save(make(GOOD))
    assert store.scan().records == [old]
    assert len(everything(store.root)) == 1


WRITER = """
import sys
from pathlib import Path
from benchmark.records import decode
from benchmark.store import Store
record = decode(Path(sys.argv[2]).read_bytes())
for _ in range(150):
    Store(Path(sys.argv[1])).save(record)
"""


def test_two_writers_of_one_record_never_show_half_of_it(store: Store, tmp_path: Path) -> None:
    record = make(GOOD, environment={"padding": "x" * 20_000})
    (tmp_path / "record.json").write_bytes(encode(record))
    command = [sys.executable, "-c", WRITER, str(store.root), str(tmp_path / "record.json")]
    writers = [subprocess.Popen(command) for _ in range(2)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        scan = store.scan()
        assert scan.damaged == []
        seen += len(scan.records)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen > 0
    assert store.scan().records == [record]
    assert len(everything(store.root)) == 1


def refuse(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_before_and_tears_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(make(GOOD, seed=1))
    before = everything(store.root)
    monkeypatch.setattr(os, "fsync", refuse)  # where a file system that allocates late says it
    with pytest.raises(StoreError, match=r"cannot write to .*: No space left on device; choose another folder or make room"):
        store.check_writable()
    with pytest.raises(StoreError, match=r"cannot write .*: No space left on device"):
        store.save(make(GOOD, seed=2))
    assert everything(store.root) == before
    monkeypatch.undo()
    store.save(make(GOOD, seed=2))
    assert len(store.scan().records) == 2


def test_too_little_room_is_said_before_the_first_trial(store: Store) -> None:
    store.check_writable(need=1000)
    with pytest.raises(
        StoreError, match=r"not enough room in .*: the records to come take about 1,000,000,000,000.0 MB, and [\d,.]+ MB are"
    ):
        store.check_writable(need=10**18)
    assert everything(store.root) == set()
