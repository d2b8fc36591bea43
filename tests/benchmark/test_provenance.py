from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import provenance
from tests.made import make


def verdict(folder: Path, name: str, **fields: object) -> None:
    (folder / "verdicts").mkdir(exist_ok=True)
    found = {"schema": 1, "record": name, "verdict": "reproduced", "by": "somebody", **fields}
    (folder / "verdicts" / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def test_no_folder_is_no_verdict(tmp_path: Path) -> None:
    assert provenance.read(tmp_path) == ({}, [])
    assert list(tmp_path.iterdir()) == []


def test_verdicts_are_by_record(tmp_path: Path) -> None:
    verdict(tmp_path, "abc")
    verdict(tmp_path, "def", verdict="contradicted", note="accuracy 0.71, not 0.91")
    assert provenance.read(tmp_path) == ({"abc": "reproduced", "def": "contradicted"}, [])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"schema": 2}, "schema 2, but this LossBench reads schema 1"),
        ({"record": "xyz"}, "it is about record xyz"),
        ({"verdict": "perfect"}, "not a verdict: Invalid enum value 'perfect'"),
        ({"score": 1}, "not a verdict: Object contains unknown field `score`"),
        ({"by": 3}, "not a verdict"),
    ],
)
def test_what_is_no_verdict_is_named_and_left(tmp_path: Path, fields: dict[str, object], why: str) -> None:
    verdict(tmp_path, "abc", **fields)
    found, wrong = provenance.read(tmp_path)
    assert found == {}
    assert len(wrong) == 1
    assert wrong[0].startswith("verdicts/abc.json: ")
    assert why in wrong[0]
    assert (tmp_path / "verdicts" / "abc.json").exists()


def test_the_place_says_what_is_common_and_where_runs_differ() -> None:
    one, two = ({"lossbench": "0.1.0", "torch": "2.13.0", "device": device} for device in ("cpu", "NVIDIA H100"))
    same = provenance.of([make(environment=one, seed=seed) for seed in range(2)], {})
    assert same.place == "LossBench 0.1.0, torch 2.13.0, cpu"
    assert provenance.of([make(environment=one), make(environment=two, seed=1)], {}).place == "LossBench 0.1.0, torch 2.13.0, mixed"
    begun = [make(environment=one), make(status="error", seed=1)]  # the second failed before it knew where it was
    assert provenance.of(begun, {}).place == same.place
    assert provenance.of([make()], {}).place == provenance.of([], {}).place == "unknown"
