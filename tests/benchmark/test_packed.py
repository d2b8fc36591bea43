"""Packed records: they come back to the bit, are read like loose ones, and what is not as it was written is named."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import budgets, packed, packing, selection
from benchmark.evidence import Light, Series, singles
from benchmark.packed import GROUP, Packed, Writer
from benchmark.records import BadRecord, Cost, Point, RunRecord, encode
from benchmark.status import Reader
from benchmark.store import Store
from benchmark.table import build
from tests.made import METRICS, make

GOOD = {"error": 0.25, "accuracy": 0.5}


def full(test: dict[str, float] | None = None, **fields: Any) -> RunRecord:
    """A record with a curve, costs and events."""
    record = make(
        test if test is not None else GOOD, cost=Cost(train=1.5, method=0.5, evaluation=0.1, steps=100, backward_passes=300), **fields
    )
    points = [
        Point(step=10 * n, train_losses=[0.1, None], validation_losses=[0.3, 1e-320], weights=[], score=1 / (n + 3), seconds=n / 7)
        for n in range(1, 4)
    ]
    tuned = record.spec.role == "tune"
    return msgspec.structs.replace(
        record,
        curve=points,
        selected_step=20,
        validation=record.test if tuned else {},
        test={} if tuned else record.test,
        events={"clamped": 3},
        environment={"device": "cpu", "ü": "\u202e\n"},
    )


def written(folder: Path, records: Sequence[RunRecord]) -> Path:
    writer = Writer(folder)
    try:
        for record in records:
            writer.add(record)
        writer.close()
        return writer.finish()
    finally:
        writer.drop()


def mix(draw: random.Random, count: int) -> list[RunRecord]:
    """Records of several configurations, roles and statuses, each trial once."""
    found = {}
    for _ in range(count):
        lost = draw.random() < 0.2
        values = {"error": draw.random(), "accuracy": draw.random()}
        if draw.random() < 0.1:
            del values["error"]
        role = draw.choice(["eval", "eval", "eval", "tune"])
        record = full(
            {} if lost else values,
            entrant=draw.choice(["equal", "gradnorm(alpha=0.12)", "uw"]),
            problem=draw.choice(["digits", "wine"]),
            role=role,
            trial=draw.randrange(2),
            seed=1_000_000 if role == "tune" else draw.randrange(6),
            status="diverged" if lost else "ok",
            hyperparameters=draw.choice([{}, {"seed": 3, "word": ',"seed":null'}]),
        )
        found[record.id] = record
    return list(found.values())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def fill(store: Store, records: Sequence[RunRecord]) -> dict[str, bytes]:
    for record in records:
        store.save(record)
    return {record.id: encode(record) for record in records}


def found(store: Store) -> dict[str, bytes]:
    scan = store.scan()
    assert scan.damaged == []
    assert len({record.id for record in scan.records}) == len(scan.records)
    return {record.id: encode(record) for record in scan.records}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(
        st.builds(
            lambda words, number, seed, numbers, events: msgspec.structs.replace(
                full({"error": abs(number)}, seed=seed, entrant=f"equal({words[0]})", hyperparameters={words[0]: number, "x": words[1]}),
                message=words[1],
                events=events,
                environment={words[1]: words[0]},
                curve=[Point(step=1, train_losses=numbers, validation_losses=[], weights=[], score=None, seconds=number)],
            ),
            st.tuples(TEXT, TEXT),
            FLOATS,
            st.integers(-(2**63), 2**63 - 1),
            st.lists(st.none() | FLOATS, max_size=3),
            st.dictionaries(TEXT, st.integers(0, 2**40), max_size=2),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda record: record.id,
    )
)
def test_any_record_comes_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, records: list[RunRecord]) -> None:
    pack = Packed(written(tmp_path_factory.mktemp("packed"), records))
    assert [encode(record) for record in packing.read_back(pack)] == [encode(record) for record in records]
    assert pack.differs(0, records) == []


def test_packing_changes_nothing_that_is_read(store: Store) -> None:
    records = mix(random.Random(0), 60)
    before = fill(store, records)
    done = packing.pack(store)
    assert (done.records, done.left) == (len(before), [])
    assert list(store.loose([])) == []
    assert not any(store.records.iterdir()), "folders that are empty go too"
    again = Store(store.root)
    assert found(again) == before
    assert again.ids() == before.keys()
    assert again.index().keys() == before.keys()
    for record in records:
        assert again.get(record.spec) == record
        assert again.has(record.spec)
    assert again.has(records[0].id)
    assert again.find(records[0].id) == records[0]
    assert again.text(records[0].id) == encode(records[0]).decode()
    assert not again.has("0" * 20)
    assert not again.has("no id")
    assert packing.pack(store).records == 0, "there is nothing left to pack"
    assert packing.unpack(store).records == len(before)
    assert not list(store.shelf.folder.iterdir())
    assert {path.stem: path.read_bytes() for path in store.loose([])} == before


def test_a_loose_record_stands_for_the_packed_one_and_a_later_file_for_an_earlier(store: Store) -> None:
    failure, better, other = full({}, status="error"), full(), full(seed=1)
    fill(store, [failure, other])
    packing.pack(store)
    store.save(better)
    assert store.get(better.spec) == better
    assert found(store) == {better.id: encode(better), other.id: encode(other)}
    assert [each.status for each in singles(store.survey().records)].count("ok") == 2
    packing.pack(store)
    assert len(store.shelf.names()) == 2
    assert store.get(better.spec) == better
    assert found(store) == {better.id: encode(better), other.id: encode(other)}
    assert sorted(each.status for each in singles(store.survey().records)) == ["ok", "ok"]
    home = store.save(better)
    home.write_bytes(b"{")
    assert store.get(better.spec) == better, "a packed one stands for a loose one that cannot be read"
    assert packing.unpack(store).records == 2
    assert Store(store.root).get(better.spec) == better


def test_what_a_killed_pack_left_is_taken_up(store: Store) -> None:
    records = mix(random.Random(1), 20)
    before = fill(store, records)
    packing.pack(store)
    fill(store, records[:7])  # as if it had been killed while it removed them
    assert found(store) == before
    done = packing.pack(store)
    assert (done.records, done.known) == (0, 7)
    assert len(store.shelf.names()) == 1
    assert found(store) == before


def test_a_record_that_is_replaced_while_it_is_packed_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = full({}, status="oom"), full()
    store.save(old)
    verify = packing._verify

    def meanwhile(*arguments: Any) -> None:
        verify(*arguments)
        store.save(new)

    monkeypatch.setattr(packing, "_verify", meanwhile)
    packing.pack(store)
    assert store.get(new.spec) == new
    assert len(list(store.loose([]))) == 1


def test_what_is_run_again_while_it_is_unpacked_stays(store: Store) -> None:
    lost = [full(seed=seed, status="oom") for seed in range(2)]
    fill(store, lost)
    packing.pack(store)
    again = [full({"error": 1.0, "accuracy": 0.5}, seed=seed) for seed in range(2)]

    def study(what: str, done: int, total: int) -> None:
        if done == 1:
            for record in again:
                store.save(record)

    assert packing.unpack(store, study).records == 1
    assert found(store) == {record.id: encode(record) for record in again}


def test_nothing_is_removed_that_was_not_read_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fill(store, [full(), full(seed=1)])
    close = Writer.close

    def spoil(writer: Writer) -> None:
        close(writer)
        data = bytearray(writer.temporary.read_bytes())
        data[50 : len(data) // 4] = bytes(byte ^ 1 for byte in data[50 : len(data) // 4])
        writer.temporary.write_bytes(data)

    monkeypatch.setattr(Writer, "close", spoil)
    with pytest.raises(packing.StoreError, match=r"nothing was removed|not read back"):
        packing.pack(store)
    assert list(store.shelf.folder.iterdir()) == []
    assert found(store) == before


def test_flipped_bytes_are_found_wherever_they_are(store: Store, tmp_path: Path) -> None:
    records = mix(random.Random(2), 12)
    before = fill(store, records)
    path = packing.pack(store).path
    assert path is not None
    data, draw = path.read_bytes(), random.Random(3)
    for place in [0, 3, len(data) - 1, len(data) - 6, *(draw.randrange(len(data)) for _ in range(150))]:
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        scan, survey = Store(store.root).scan(), Store(store.root).survey()
        for records_read in (scan.records, []):
            assert {record.id: encode(record) for record in records_read}.items() <= before.items()
        assert scan.damaged or len(scan.records) == len(before)  # the first bytes say only that it is Parquet
        light = {each.id: each for each in singles(survey.records)}
        assert survey.damaged or light.keys() == before.keys()
        for record in records:
            if record.id in light:
                assert_alike(light[record.id], record)


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_file_that_was_cut_short_is_named_and_the_others_are_read(store: Store, keep: int) -> None:
    whole, cut = full(), full(seed=1)
    store.save(whole)
    packing.pack(store)
    store.save(cut)
    path = packing.pack(store).path
    assert path is not None
    path.write_bytes(path.read_bytes()[:keep])
    for read in (Store(store.root).scan(), Store(store.root).survey()):
        assert [each.path for each in read.damaged] == [f"packed/{path.name}"]
        assert [each.id for each in singles(read.records)] == [whole.id]
    assert Store(store.root).get(cut.spec) is None


def test_a_newer_layout_and_a_foreign_file_are_refused_in_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    store.save(full())
    with monkeypatch.context() as patch:
        patch.setattr(packed, "LAYOUT", 2)
        packing.pack(store)
    foreign = store.shelf.folder / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    foreign.rename(foreign.with_name(f"000009-{packed._digest(packed._footer(foreign))}.parquet"))
    (store.shelf.folder / "notes.parquet").write_text("not Parquet at all")
    scan = Store(store.root).scan()
    assert scan.records == []
    reasons = " | ".join(each.reason for each in scan.damaged)
    assert "layout '2', but this LossBench reads 1: update LossBench" in reasons
    assert "layout ''" in reasons
    assert "not a whole Parquet file" in reasons
    assert all("\n" not in each.reason for each in scan.damaged)


def forged(folder: Path, record: RunRecord, **columns: Any) -> None:
    """A packed file with columns that its record does not have."""
    import pyarrow as pa

    writer = Writer(folder)
    table = packed.columns([record])
    for name, value in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array([value], table.schema.field(place).type))
    writer._writer.write_table(table)
    writer.close()
    writer.finish()


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"test": [0.25, 1.5]}, "legal range"),
        ({"test": [0.25]}, "not those that it declares"),
        ({"status": "splendid"}, "unknown status"),
        ({"spec": "{}"}, "not a record"),
        ({"shape": "["}, "not a record"),
    ],
    ids=str,
)
def test_light_columns_are_checked_as_far_as_they_are_used(store: Store, columns: dict[str, Any], why: str) -> None:
    forged(store.shelf.folder, full(), **columns)
    survey = store.survey()
    assert survey.records == []
    assert why in survey.damaged[0].reason


def test_a_name_that_leads_out_of_the_store_is_refused(store: Store, tmp_path: Path) -> None:
    records = [full(suite="../../out"), full(problem="..", role="tune")]
    written(store.shelf.folder, records)
    for read in (store.scan(), store.survey()):
        assert len(read.records) == 0
        assert all("cannot name a folder" in each.reason for each in read.damaged)
        assert len(read.damaged) == 2
    packing.unpack(store)
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    assert not list(store.loose([]))
    with pytest.raises(BadRecord, match="cannot name a folder"):
        store.shelf.get(records[0].id)


def test_an_edited_spec_is_found_where_the_whole_record_is_read(store: Store) -> None:
    record = full()
    other = full(steps=101)
    forged(store.shelf.folder, record, spec=packed.columns([other])["spec"][0].as_py())
    assert "does not match its spec" in store.scan().damaged[0].reason
    with pytest.raises(BadRecord, match="does not match its spec"):
        store.get(record.spec)


def assert_alike(light: Any, record: RunRecord) -> None:
    """What a table uses is the same in both forms."""
    assert (light.spec, light.status, light.trained, light.tasks) == (record.spec, record.status, record.trained, record.tasks)
    assert (light.metrics, light.environment, light.test) == (record.metrics, record.environment, record.test)
    assert light.cost == record.cost
    if record.spec.role == "tune":
        assert (light.validation, light.loss) == (record.validation, record.loss)


@pytest.mark.parametrize("group", [3, 7, GROUP])
def test_light_records_say_what_the_records_say(store: Store, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(packed, "GROUP", group)
    records = {record.id: record for record in mix(random.Random(4), 80)}
    fill(store, list(records.values()))
    packing.pack(store)
    survey = store.survey()
    assert survey.damaged == []
    assert any(isinstance(each, Series) and each.count > 1 for each in survey.records)
    lights = list(singles(survey.records))
    assert len(lights) == len(records)
    for light in lights:
        assert isinstance(light, Light)
        assert_alike(light, records[light.id])
        assert list(light.curve) == records[light.id].curve


def test_whole_numbers_of_more_than_64_bits_stay_loose(store: Store) -> None:
    huge = full(seed=2**63)
    fill(store, [huge, full()])
    done = packing.pack(store)
    assert done.records == 1
    assert "more than 64 bits" in done.left[0].reason
    assert store.get(huge.spec) == huge


def test_a_missing_pyarrow_is_said_with_the_command(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import TaskError, errors

    store.save(full())
    packing.pack(store)
    monkeypatch.setattr(errors, "_importable", lambda package: False)
    for ask in (Store(store.root).scan, Store(store.root).survey, lambda: packing.pack(Store(store.root))):
        with pytest.raises(TaskError, match=r"pip install 'lossbench\[pack\]'"):
            ask()


def test_status_counts_packed_records(store: Store) -> None:
    fill(store, [full(), full(seed=1), full({}, seed=2, status="error")])
    before = Reader(store.root).suites()
    packing.pack(store)
    assert Reader(store.root).suites() == before
    assert before["toy"]["digits", "equal"].done == 2


def test_numbers_that_have_no_place_are_nan_and_not_zero(store: Store) -> None:
    store.save(make({}, status="error"))
    packing.pack(store)
    (series,) = store.survey().records
    assert isinstance(series, Series)
    assert math.isnan(series.steps[0])
    assert next(series.singles()).cost is None


def study(draw: random.Random) -> list[RunRecord]:
    """Tuning and evaluation of single-task training and others, with failures, holes, doubled seeds and several settings."""
    found: dict[str, RunRecord] = {}
    names = ["single", "equal", "gradnorm(alpha=0.12)", "uw"]
    for problem in ("digits", "wine"):
        for name in names[: draw.randrange(1, 5)]:
            for role, trial, seed in [("tune", t, 1_000_000) for t in range(4)] + [
                ("eval", t, s) for t in (0, draw.randrange(4)) for s in range(5)
            ]:
                if draw.random() < 0.1:
                    continue
                for task in (0, 1) if name == "single" else (None,):
                    lost = draw.random() < 0.05
                    values = {key: draw.uniform(0.1, 0.9) for key in METRICS if task is None or METRICS[key].task == "ab"[task]}
                    record = full(
                        {} if lost else values,
                        entrant=name,
                        problem=problem,
                        role=role,
                        trial=trial,
                        seed=seed,
                        trained=(0, 1) if task is None else (task,),
                        status="diverged" if lost else "ok",
                        hyperparameters={} if task is None else {"task": task},
                        learning_rate=1e-3 * (1 + trial),
                        steps=100 if draw.random() < 0.97 else 200,
                        method_version=1 if draw.random() < 0.97 else 2,
                        **({"engine": "vectorized", "together": 5} if draw.random() < 0.05 else {}),
                    )
                    found[record.id] = record
    return list(found.values())


@pytest.mark.parametrize("seed", range(12))
def test_tables_of_loose_and_of_packed_records_are_the_same(store: Store, seed: int) -> None:
    records = study(random.Random(seed))
    fill(store, records)
    packing.pack(store)
    for record in records[:seed]:  # some in both forms
        store.save(record)
    told = []
    for evidence in (records, store.survey().records):
        search = budgets.common(evidence)
        shown, notes = selection.shown(evidence, search)
        table = build(shown)
        told.append((search, budgets.sizes(evidence, search), sorted(notes), msgspec.json.encode(table)))
    assert told[0] == told[1]
    assert records
