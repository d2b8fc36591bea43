"""The record format: an id for every spec, and nothing believed that contradicts itself."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import msgspec
import pytest

from benchmark.records import BadRecord, Cost, Status, TrialSpec, check, decode, encode, failed, same
from tests.made import SPEC, make


def another(value: Any, options: tuple[Any, ...]) -> Any:
    """A legal value of the same field that differs."""
    if options:
        return next(option for option in options if option != value)
    if value is msgspec.UNSET:
        return "some package 1.0"
    return {"alpha": 0.5} if isinstance(value, dict) else value + "x" if isinstance(value, str) else value + 1


def test_every_field_of_a_spec_changes_its_id() -> None:
    spec = TrialSpec(**SPEC)
    ids = {spec.id}
    for field in msgspec.inspect.type_info(TrialSpec).fields:  # type: ignore[attr-defined]
        literal = isinstance(field.type, msgspec.inspect.LiteralType)
        options = field.type.values if literal else ()
        if len(options) == 1:
            options += ("another",)  # the only choice so far; the id must change with the next one
        ids.add(msgspec.structs.replace(spec, **{field.name: another(getattr(spec, field.name), options)}).id)
    assert len(ids) == 1 + len(TrialSpec.__struct_fields__)


def test_a_method_of_the_registry_has_no_release_and_the_id_that_it_had_before_there_were_releases() -> None:
    spec = TrialSpec(**SPEC)
    assert spec.id == "a6ba9fbdf013de714bc0"
    record = make(release="torchjd 0.18.0")
    assert "release" not in json.loads(encode(make()))["spec"]
    assert json.loads(encode(record))["spec"]["release"] == "torchjd 0.18.0"
    assert decode(encode(record)) == record


def test_metrics_of_records_from_before_there_was_a_choice_are_compared() -> None:
    record = make({"error": 1.0, "accuracy": 0.5})
    old = json.loads(encode(record))
    for info in old["metrics"].values():
        del info["compared"]
    assert decode(json.dumps(old).encode()) == record


def test_releases_grow_as_numbers_and_after_versions() -> None:
    ages = [TrialSpec(**{**SPEC, **fields}).age for fields in AGES]
    assert ages == sorted(ages)
    assert len(set(map(str, ages))) == len(AGES)


AGES: list[dict[str, Any]] = [
    {},
    {"release": "4"},
    {"release": "torchjd 0.9.2"},
    {"release": "torchjd 0.18.0"},
    {"release": "torchjd 0.18.0.post1"},
    {"release": "torchjd 1.0"},
    {"release": "torchjd 0.9.2", "method_version": 2},
]


def test_the_order_of_hyperparameters_does_not_change_the_id() -> None:
    one = TrialSpec(**{**SPEC, "hyperparameters": {"alpha": 1.5, "beta": 2}})
    two = TrialSpec(**{**SPEC, "hyperparameters": {"beta": 2, "alpha": 1.5}})
    assert one.id == two.id


def test_a_record_survives_the_trip() -> None:
    record = make({"error": 0.25, "accuracy": 0.5}, hyperparameters={"alpha": 1.5, "n": 2, "on": True, "mode": "x"}, entrant="equal(n=2)")
    assert decode(encode(record)) == record


def test_the_clock_and_the_place_make_no_other_record() -> None:
    cost = Cost(train=1.0, method=2.0, evaluation=3.0, steps=5, backward_passes=5, peak_memory=7, compilation=9.0)
    record = make({"error": 0.25})
    slow = msgspec.structs.replace(record, cost=cost, environment={"host": "a"})
    fast = msgspec.structs.replace(record, cost=Cost(train=0.1, method=0.2, evaluation=0.3, steps=5, backward_passes=5))
    assert same(slow, fast)
    assert not same(slow, msgspec.structs.replace(fast, cost=Cost(train=0.1, method=0.2, evaluation=0.3, steps=6, backward_passes=5)))


def test_what_a_scheduler_stopped_did_not_fail() -> None:
    statuses = get_args(Status)
    assert [status for status in statuses if failed(status)] == ["diverged", "oom", "timeout", "error"]


def test_a_tuning_record_carries_no_test_metrics() -> None:
    check(make(role="tune"))
    with pytest.raises(BadRecord, match="selection must not see the test split"):
        decode(encode(make({"error": 0.25}, role="tune")))


@pytest.mark.parametrize("value", [1.0000001, -0.1, math.nan, math.inf])
def test_a_metric_outside_its_legal_range_is_refused(value: float) -> None:
    with pytest.raises(BadRecord, match="outside its legal range"):
        check(make({"accuracy": value}))


def test_a_metric_nobody_declared_is_refused() -> None:
    with pytest.raises(BadRecord, match="'speed' is not declared"):
        check(make({"speed": 1.0}))


def test_an_edited_spec_is_noticed() -> None:
    raw = json.loads(encode(make({"error": 0.25, "accuracy": 0.5})))
    raw["spec"]["steps"] = 200
    with pytest.raises(BadRecord, match="does not match its spec"):
        decode(json.dumps(raw).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[1, 2]", b'{"a": 1}', b'{"schema": 1}', b'{"schema": "1"}'])
def test_what_is_not_a_record_says_so(data: bytes) -> None:
    with pytest.raises(BadRecord, match="not a record"):
        decode(data)


def test_a_record_of_the_future_names_its_schema() -> None:
    raw = json.loads(encode(make()))
    raw["schema"] = 99
    with pytest.raises(BadRecord, match="schema 99"):
        decode(json.dumps(raw).encode())
