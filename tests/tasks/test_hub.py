"""The loader of sets that do not ship: three ways in with one result, and everything that can be wrong on the way."""

from __future__ import annotations

import errno
import gzip
import io
import json
import multiprocessing
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_shapes import Shapes, prepare
from PIL import Image

import tasks
from tasks import decoded, hub, network, tables
from tasks.hub import HubProblem
from tasks.inmemory import Arrays
from tasks.locations import Locations
from tasks.rows import Rows

ROWS = {"train": 9, "test": 4}
FEATURES = datasets.Features(
    {
        "picture": datasets.Image(),
        "label": datasets.ClassLabel(names=["a", "b", "c"]),
        "depth": datasets.Array3D((1, 4, 5), "float32"),
        "atoms": datasets.Sequence(datasets.Sequence(datasets.Value("float64"))),
        "symbols": datasets.Sequence(datasets.Value("string")),
        "sex": datasets.Value("string"),
        "smiles": datasets.Value("bool"),
    }
)


def table(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    draws = np.random.default_rng(seed)
    return {
        "picture": [Image.fromarray(draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(rows)],
        "label": draws.integers(0, 3, rows).tolist(),
        "depth": draws.random((rows, 1, 4, 5)).astype(np.float32).tolist(),
        "atoms": [draws.random((1 + row % 3, 3)).tolist() for row in range(rows)],
        "symbols": [["C"] * (1 + row % 3) for row in range(rows)],
        "sex": [("Male", "Female")[row % 2] for row in range(rows)],
        "smiles": (draws.random(rows) < 0.5).tolist(),
    }


def shapes(**changed: Any) -> dict[str, datasets.Dataset]:
    """A tiny copy, both splits. ``changed`` replaces columns of the training split by name: values, (type, values), or None to drop one."""
    made = {}
    for seed, (split, rows) in enumerate(ROWS.items()):
        columns = {name: (FEATURES[name], values) for name, values in table(rows, seed).items()}
        if split == "train":
            columns |= {name: new if isinstance(new, tuple) else (FEATURES[name], new) for name, new in changed.items()}
        kept = {name: column for name, column in columns.items() if column[1] is not None}
        features = datasets.Features({name: kind for name, (kind, _) in kept.items()})
        made[split] = datasets.Dataset.from_dict({name: values for name, (_, values) in kept.items()}, features=features)
    return made


def as_parquet(folder: Path, data: Mapping[str, datasets.Dataset]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in data.items():
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def as_folder(folder: Path, data: Mapping[str, datasets.Dataset]) -> Path:
    datasets.DatasetDict(data).save_to_disk(folder)
    return folder


def as_own(folder: Path, data: Mapping[str, datasets.Dataset]) -> Path:
    folder.mkdir(parents=True)
    for split, rows in data.items():
        plain = [{**row, "image": np.asarray(row["picture"]).tolist(), "picture": None} for row in rows]
        (folder / f"own-{split}.json.gz").write_bytes(gzip.compress(json.dumps(plain).encode()))
    return folder


@pytest.fixture(autouse=True, scope="module")
def quiet_datasets() -> None:
    datasets.disable_progress_bars()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def there(data: Path | None, cache: Path, offline: bool = False) -> Locations:
    return Locations(str(data) if data else None, str(cache), offline)


def refused(data: Path | None, cache: Path, offline: bool = False, problem: HubProblem | None = None) -> str:
    """The line that says why; and nothing is left of the attempt."""
    with pytest.raises(tasks.TaskError) as caught:
        (problem or Shapes()).fingerprint(there(data, cache, offline))
    assert "\n" not in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []
    return str(caught.value)


@pytest.fixture
def the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Mapping[str, datasets.Dataset]], HubProblem]:
    """The same set as a repository of the hub, which is a folder here: what ``datasets`` does with it is the same from the folder on."""

    def publish(data: Mapping[str, datasets.Dataset]) -> HubProblem:
        folder = as_parquet(tmp_path / "repository" / "data", data).parent
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(network, "reachable", lambda needed_by, remedy: None)
        monkeypatch.setattr(tables, "commit", lambda hub_id, revision: None)
        problem = Shapes()
        problem.source = replace(Shapes.source, hub=str(folder))
        return problem

    return publish


# --- ways in ------------------------------------------------------------------------------------------------------------------------------


def test_every_way_in_gives_the_same_arrays_and_fingerprint(
    tmp_path: Path, the_hub: Callable[[Mapping[str, datasets.Dataset]], HubProblem]
) -> None:
    data = shapes()
    ways = {
        "parquet": as_parquet(tmp_path / "parquet" / "shapes", data).parent,
        "parquet in the folder itself": as_parquet(tmp_path / "plain", data),
        "repository": as_parquet(tmp_path / "clone" / "data", data).parent,
        "save_to_disk": as_folder(tmp_path / "disk", data),
        "own": as_own(tmp_path / "own", data),
    }
    found = {way: (Shapes(), there(folder, tmp_path / way)) for way, folder in ways.items()}
    found["hub"] = the_hub(data), there(None, tmp_path / "hub")
    prints = {way: problem.fingerprint(where) for way, (problem, where) in found.items()}
    assert len(set(prints.values())) == 1, prints
    expected = np.concatenate([np.stack([np.asarray(image) for image in data[split]["picture"]]) for split in ROWS])
    for way, (problem, where) in found.items():
        arrays = problem.arrays(where)
        assert arrays.parts == (9, 4), way
        assert np.array_equal(arrays.inputs, expected)
        assert isinstance(arrays.inputs, np.memmap)
        assert arrays.targets[0].tolist() == [*data["train"]["label"], *data["test"]["label"]]
        atoms = [np.sum(atoms) for split in ROWS for atoms in data[split]["atoms"]]
        np.testing.assert_allclose(arrays.targets[1][:, 0], atoms, rtol=1e-6)
    manifest = json.loads(next((tmp_path / "hub").rglob("manifest.json")).read_text(encoding="utf-8"))
    assert manifest["source"]["hub"].endswith("repository")
    assert manifest["splits"] == ROWS


def test_what_is_cached_is_read_without_the_source_or_any_table_library(
    tmp_path: Path, cache: Path, the_hub: Callable[[Mapping[str, datasets.Dataset]], HubProblem], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = the_hub(shapes())
    first = problem.fingerprint(there(None, cache))
    shutil.rmtree(tmp_path / "repository")
    monkeypatch.setattr(network, "reachable", None)
    for function in ("stream", "commit", "read"):
        monkeypatch.setattr(tables, function, None)
    assert problem.fingerprint(there(None, cache, offline=True)) == first
    assert len(problem.arrays(there(None, cache, offline=True)).inputs) == 13


def test_another_file_is_another_cache_and_another_fingerprint(tmp_path: Path, cache: Path) -> None:
    folder = as_parquet(tmp_path / "data", shapes())
    first = Shapes().fingerprint(there(folder, cache))
    as_parquet(tmp_path / "data", shapes(label=[0] * 9))
    assert Shapes().fingerprint(there(folder, cache)) != first
    assert len(list(cache.iterdir())) == 2


def test_arrays_are_those_of_the_files_as_they_are_now(tmp_path: Path, cache: Path) -> None:
    problem, where = Shapes(), there(as_parquet(tmp_path / "data", shapes(label=[0] * 9)), cache)
    before = problem.arrays(where)
    assert problem.arrays(where) is before
    as_parquet(tmp_path / "data", shapes(label=[1] * 9))
    assert problem.arrays(where).targets[0][:9].tolist() == [1] * 9


def test_the_cache_is_one_folder_wherever_a_worker_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for named, expected in (("kept", "kept"), ("~/kept", "home/kept"), ("", "home/.cache/lossbench")):
        monkeypatch.setenv("LOSSBENCH_CACHE", named)
        assert Locations().cache == str(tmp_path / expected)


def test_a_file_of_the_same_size_and_time_is_another(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "data" / "own-train.json.gz"
    as_own(tmp_path / "data", shapes())
    first = Shapes().fingerprint(there(tmp_path / "data", cache))
    state, rows = path.stat(), json.loads(gzip.decompress(path.read_bytes()))
    rows[0]["label"] = (rows[0]["label"] + 1) % 3
    content = gzip.compress(json.dumps(rows).encode())
    path.write_bytes(content + b"\0" * (state.st_size - len(content)))  # zeros after the end are none of it
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert Shapes().fingerprint(there(tmp_path / "data", cache)) != first


def test_folder_of_the_problem_comes_first(tmp_path: Path, cache: Path) -> None:
    folder = as_parquet(tmp_path / "data", shapes(label=[0] * 9))
    as_parquet(folder / "shapes", shapes(label=[1] * 9))
    assert Shapes().arrays(there(folder, cache)).targets[0][:9].tolist() == [1] * 9


def test_what_is_left_out_is_counted_and_said(tmp_path: Path, cache: Path) -> None:
    long = table(9)
    long["symbols"][3] = ["C"] * 9
    folder = as_parquet(tmp_path / "data", shapes(symbols=long["symbols"]))
    said = Shapes().prepare(there(folder, cache))
    assert said.startswith("12 rows, 1 left out: too many atoms; ")
    assert str(cache) in said
    assert Shapes().arrays(there(folder, cache)).parts == (8, 4)


def test_progress_counts_the_rows_of_every_split(tmp_path: Path, cache: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    Shapes().prepare(there(as_parquet(tmp_path / "data", shapes()), cache), lambda *what: told.append(what))
    assert told == [
        *(("shapes train", done, 9) for done in (0, 4, 8, 9)),
        *(("shapes test", done, 4) for done in (0, 4)),
    ]


def test_validation_is_carved_from_the_training_part_and_test_is_the_sets_own(tmp_path: Path, cache: Path) -> None:
    problem = Shapes()
    arrays = problem.arrays(there(as_parquet(tmp_path / "data", shapes()), cache))
    cuts = [problem.cut(arrays, seed) for seed in range(3)]
    for cut in cuts:
        assert cut.test.tolist() == [9, 10, 11, 12]
        assert len(cut.validation) == 2  # 20 of 130
        assert sorted([*cut.train, *cut.validation]) == list(range(9))
    assert len({tuple(cut.validation.tolist()) for cut in cuts}) > 1
    three = problem.cut(Arrays(arrays.inputs, arrays.targets, (8, 2, 3)), 0)
    assert [part.tolist() for part in (three.train, three.validation, three.test)] == [[*range(8)], [8, 9], [10, 11, 12]]


# --- bad input ----------------------------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"depth": None}, "column 'depth' (float [1, 4, 5]) is missing (it has: picture, label, atoms"),
    "mistyped": ({"label": (datasets.Value("string"), ["a"] * 9)}, "column 'label' is string; expected integer"),
    "mistyped image": ({"picture": (datasets.Value("int64"), [1] * 9)}, "column 'picture' is int64; expected image"),
    "no list": ({"depth": (datasets.Value("float64"), [0.5] * 9)}, "column 'depth' is double; expected float [1, 4, 5]"),
    "label out of range": (
        {"label": (datasets.Value("int64"), [0, 1, 2, 2, 1, 0, 7, 0, 0])},
        "row 6: label is 7; expected integer from 0 to 2",
    ),
    "unknown word": ({"sex": ["Male"] * 5 + ["M"] + ["Male"] * 3}, "row 5: sex is 'M'; expected one of Male, Female"),
    "negative depth": (
        {"depth": [[[[1.0] * 5] * 4]] * 8 + [[[[1.0] * 5] * 3 + [[-1.0] * 5]]]},
        "row 8: depth is -1.0; expected float from 0 to any",
    ),
    "no value": ({"label": [0, None] + [1] * 7}, "row 1: column 'label' is empty; expected integer"),
    "no word": ({"sex": ["Male", "Male", None] + ["Male"] * 6}, "row 2: column 'sex' is empty; expected text"),
    "no image": ({"picture": [*table(8)["picture"], None]}, "row 8: column 'image' is empty; expected image"),
    "wrong width": (
        {"atoms": [[[1.0, 2.0, 3.0]]] * 4 + [[[1.0, 2.0]]] * 5},
        "row 4: column 'atoms' has 2 values in dimension 1; expected float [any, 3]",
    ),
    "infinite": ({"atoms": [[[1.0, 2.0, 3.0]]] * 7 + [[[1.0, 2.0, float("inf")]]] * 2}, "row 7: atoms is inf; expected a finite number"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("way", [as_parquet, as_folder, "hub"])
def test_a_wrong_table_is_named_by_column_and_row(
    case: str, way: Any, tmp_path: Path, cache: Path, the_hub: Callable[[Mapping[str, datasets.Dataset]], HubProblem]
) -> None:
    changed, expected = WRONG[case]
    data = shapes(**changed)
    said = refused(None, cache, problem=the_hub(data)) if way == "hub" else refused(way(tmp_path / "data", data), cache)
    assert expected in said, said


def test_a_schema_is_checked_in_every_split_before_a_row_is_decoded(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shapes()
    folder = as_parquet(tmp_path / "data", {"train": data["train"], "test": data["test"].remove_columns("smiles")})
    monkeypatch.setattr(Shapes, "decode", None)
    assert "column 'smiles' (boolean) is missing" in refused(folder, cache)


def test_an_image_that_does_not_decode_is_named_by_its_row(tmp_path: Path, cache: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(whole, "PNG")
    for bad in (b"no image", whole.getvalue()[:-30], whole.getvalue()[:40]):
        images = [{"bytes": whole.getvalue(), "path": None}] * 6 + [{"bytes": bad, "path": None}] * 3
        plain = FEATURES.copy() | {"picture": datasets.Image(decode=False)}
        data = shapes() | {"train": datasets.Dataset.from_dict(table(9) | {"picture": images}, features=datasets.Features(plain))}
        folder = as_parquet(tmp_path / "data", data)
        assert "train-00000-of-00001.parquet, row 6: the image does not decode: " in refused(folder, cache)


def test_truncated_and_foreign_files(tmp_path: Path, cache: Path) -> None:
    folder = as_parquet(tmp_path / "parquet", shapes())
    path = folder / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PNG" * 100, whole[:4] + b"\0" * 300 + whole[304:]):
        path.write_bytes(content)
        assert f"{path}: not a whole parquet file: " in refused(folder, cache)
    disk = as_folder(tmp_path / "disk", shapes())
    path = disk / "train" / "data-00000-of-00001.arrow"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"ARROW1 or so"):
        path.write_bytes(content)
        assert f"{path}: not a whole Arrow stream file: " in refused(disk, cache)


def test_an_empty_or_missing_split(tmp_path: Path, cache: Path) -> None:
    data = shapes()
    assert "problem 'shapes': split test has no row" in refused(
        as_parquet(tmp_path / "a", {**data, "test": data["test"].select([])}), cache
    )
    said = refused(as_parquet(tmp_path / "b", {"train": data["train"]}), cache)
    assert "has split train but not test; expected own-train.json.gz and own-test.json.gz or train-*.parquet and test-*.parquet" in said
    (tmp_path / "b" / "more.parquet").write_bytes(b"")
    assert "more.parquet: belongs to no split; expected train-*.parquet or test-*.parquet" in refused(tmp_path / "b", cache)


def test_no_row_comes_twice_and_no_piece_is_left_out(tmp_path: Path, cache: Path) -> None:
    data = shapes()
    twice = as_parquet(tmp_path / "twice", data)
    as_folder(twice, data)
    said = refused(twice, cache)
    assert "split train is there twice" in said
    assert str(twice / "train-00000-of-00001.parquet") in said
    cut = as_parquet(tmp_path / "cut", data)
    (cut / "train-00000-of-00001.parquet").rename(cut / "train-00001-of-00003.parquet")
    assert f"{cut / 'train-00000-of-00003.parquet'} is missing beside train-00001-of-00003.parquet" in refused(cut, cache)


def test_what_datasets_cached_beside_a_saved_set_is_no_part_of_it(tmp_path: Path, cache: Path) -> None:
    folder = as_folder(tmp_path / "data", shapes())
    before = Shapes().fingerprint(there(folder, cache))
    datasets.load_from_disk(folder)["train"].map(lambda row: row)
    assert list((folder / "train").glob("cache-*.arrow"))
    assert Shapes().fingerprint(there(folder, cache)) == before


@pytest.mark.parametrize("way", [as_parquet, as_folder])
def test_a_class_number_without_a_name_is_none_of_the_classes(way: Any, tmp_path: Path, cache: Path) -> None:
    for number, expected in ((-1, "row 3: sex is class -1; expected one from 0 to 1"), (2, "row 3: sex is class 2")):
        table = pa.table({"sex": pa.array([0, 1, 0, number, 1, 0, 1, 0, 1], pa.int64())})
        named = datasets.Dataset(
            table, datasets.DatasetInfo(features=datasets.Features({"sex": datasets.ClassLabel(names=["Male", "Female"])}))
        )
        data = shapes()
        train = datasets.concatenate_datasets([data["train"].remove_columns("sex"), named], axis=1)
        assert expected in refused(way(tmp_path / f"{number}", data | {"train": train}), cache)


def test_odd_schemas_are_one_line(tmp_path: Path, cache: Path) -> None:
    folder = as_parquet(tmp_path / "data", shapes())
    path = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    for description in ("{", "[1]", '{"info": {"features": {"sex": {"_type": "ClassLabel"}}}}'):
        pq.write_table(table.replace_schema_metadata({"huggingface": description}), path)
        assert f"{path}: its description by datasets cannot be read" in refused(folder, cache)
    pq.write_table(table.append_column("label", table["label"]), path)
    assert "column 'label' is there 2 times; expected it once" in refused(folder, cache)


# --- what is not there --------------------------------------------------------------------------------------------------------------------


def test_offline_fails_at_once_without_a_connection(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for data in (None, tmp_path):
        start = time.perf_counter()
        said = refused(data, cache, offline=True)
        assert time.perf_counter() - start < 1
        assert said.endswith(
            "run once without --offline: python -m benchmark prepare --problem shapes (about 2.8 GB of nobody/shapes); "
            "or give --data-dir DIR with own-train.json.gz and own-test.json.gz or train-*.parquet and test-*.parquet, "
            "or what save_to_disk wrote, in DIR/shapes or DIR itself"
        )


def test_without_a_network_it_says_so_in_seconds(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "HF_HUB_OFFLINE",
        "HF_DATASETS_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    start = time.perf_counter()
    said = refused(None, cache)
    assert time.perf_counter() - start < 5
    assert f"127.0.0.1:{port} cannot be reached" in said
    assert "where there is a network: python -m benchmark prepare --problem shapes" in said
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    assert f"127.0.0.1:{port} cannot be reached" in refused(None, cache)
    monkeypatch.setenv("no_proxy", "hub.invalid")
    assert "hub.invalid:80 cannot be reached" in refused(None, cache)
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("http_proxy")
    monkeypatch.setenv("all_proxy", "http://me:secret@127.0.0.1:port")
    assert "the address '127.0.0.1:port' of the hub or its proxy has no valid port" in refused(None, cache)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE forbids the download" in refused(None, cache)


def test_what_the_hub_refuses_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch, the_hub: Any, tmp_path: Path) -> None:
    problem = the_hub(shapes())
    problem.source = replace(problem.source, hub=str(tmp_path / "no such folder"))
    assert "cannot be read from the hub: " in refused(None, cache, problem=problem)


def test_a_set_without_a_hub_copy_asks_for_its_files(cache: Path, tmp_path: Path) -> None:
    problem = Shapes()
    problem.source = replace(Shapes.source, hub=None)
    assert "; give --data-dir DIR with own-train.json.gz" in refused(None, cache, problem=problem)
    assert f"nothing of it in {tmp_path}; give --data-dir DIR" in refused(tmp_path, cache, problem=problem)


def test_a_folder_of_the_problem_with_nothing_of_it_is_no_reason_to_download(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "image.bmp").write_bytes(b"")
    assert f"problem 'shapes': nothing of it in {tmp_path / 'shapes'}; expected own-train.json.gz and" in refused(tmp_path, cache)


def test_missing_packages_name_the_extra(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, the_hub: Any) -> None:
    import sys

    folder, problem = as_parquet(tmp_path / "data", shapes()), the_hub(shapes())
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "from the hub needs datasets: pip install 'lossbench[hub]'" in refused(None, cache, problem=problem)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "needs datasets: pip install 'lossbench[hub]'" in refused(folder, cache)


# --- the cache ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, "no space is left"), (errno.EDQUOT, "no space is left"), (errno.EIO, "cannot write")]
)
@pytest.mark.parametrize("after", [0, 3, 11])
def test_a_full_disk_leaves_nothing(
    number: int, expected: str, after: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written = as_parquet(tmp_path / "data", shapes()), []
    append = decoded._Growing.append

    def full(self: Any, rows: Any) -> None:
        written.append(rows)
        if len(written) > after:
            raise OSError(number, os.strerror(number))
        append(self, rows)

    monkeypatch.setattr(decoded._Growing, "append", full)
    said = refused(folder, cache)
    assert said.startswith(f"problem 'shapes': {expected}")
    assert "$LOSSBENCH_CACHE" in said
    assert str(cache) in said
    monkeypatch.undo()
    assert len(Shapes().fingerprint(there(folder, cache))) == 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_real_full_device(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_parquet(tmp_path / "data", shapes())
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", **kw: opened(Path("/dev/full") if "w" in mode else self, mode, **kw))
    with pytest.raises(tasks.TaskError, match="no space is left"):
        Shapes().fingerprint(there(folder, cache))
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    folder = as_parquet(tmp_path / "data", shapes())
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(tasks.TaskError, match=r"^problem 'shapes': cannot write \(.*\) in .* while caching; make it writable, or name"):
        Shapes().fingerprint(there(folder, tmp_path / "file" / "cache"))


def entry(cache: Path) -> Path:
    (folder,) = (path for path in cache.iterdir() if not path.name.startswith("."))
    return folder


BREAKS: dict[str, Callable[[Path], object]] = {
    "shortened": lambda f: (f / "depth.npy").write_bytes((f / "depth.npy").read_bytes()[:-4]),
    "lengthened": lambda f: (f / "depth.npy").write_bytes((f / "depth.npy").read_bytes() + b"1234"),
    "empty": lambda f: (f / "label.npy").write_bytes(b""),
    "another dtype": lambda f: np.save(f / "label.npy", np.zeros(13, np.float64)),
    "objects": lambda f: np.save(f / "label.npy", np.array([None] * 13), allow_pickle=True),
    "an array gone": lambda f: (f / "image.npy").unlink(),
    "no manifest": lambda f: (f / "manifest.json").unlink(),
    "half a manifest": lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text()[:200]),
    "another format": lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text().replace('"format": 1', '"format": 0')),
    "a list": lambda f: (f / "manifest.json").write_text("[]"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_cache_is_made_again(case: str, tmp_path: Path, cache: Path) -> None:
    where = there(as_parquet(tmp_path / "data", shapes()), cache)
    first = Shapes().fingerprint(where)
    BREAKS[case](entry(cache))
    assert decoded.lookup(entry(cache)) is None
    assert Shapes().fingerprint(where) == first
    assert decoded.lookup(entry(cache)) is not None
    assert len(list(cache.iterdir())) == 1


def test_what_a_killed_process_left_is_never_read_and_swept_when_old(tmp_path: Path, cache: Path) -> None:
    where = there(as_parquet(tmp_path / "data", shapes()), cache)
    first = Shapes().fingerprint(where)
    folder = entry(cache)
    old, young = (cache / f".{folder.name}.{name}" for name in ("old", "young"))
    for left in (old, young):
        shutil.copytree(folder, left)
        (left / "manifest.json").unlink()
    shutil.rmtree(folder)
    ago = time.time() - 2 * decoded.ABANDONED
    for path in (*old.iterdir(), old):
        os.utime(path, (ago, ago))
    assert Shapes().fingerprint(where) == first
    assert not old.exists()
    assert young.exists()  # somebody may be writing it


def test_processes_that_decode_at_once_do_not_meet(tmp_path: Path, cache: Path) -> None:
    data = as_own(tmp_path / "data", shapes())
    spawn = multiprocessing.get_context("spawn")
    start, prints = spawn.Barrier(2), spawn.Queue()
    workers = [spawn.Process(target=prepare, args=(str(data), str(cache), start, prints)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [prints.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert found[0] == found[1] == Shapes().fingerprint(there(data, cache))
    assert len(list(cache.iterdir())) == 1


def test_the_slower_of_two_takes_what_the_faster_made(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = there(as_parquet(tmp_path / "data", shapes()), cache)
    decode, made = Shapes.decode, []

    def slow(self: Shapes, rows: Rows, excluded: Counter[str]) -> dict[str, Any]:
        if not made:
            made.append(None)
            made.append(Shapes().fingerprint(where))  # another process comes and goes
            made.append(entry(cache).stat().st_ino)
        return decode(self, rows, excluded)

    monkeypatch.setattr(Shapes, "decode", slow)
    assert Shapes().fingerprint(where) == made[1]
    assert entry(cache).stat().st_ino == made[2]
    assert len(list(cache.iterdir())) == 1


def test_the_fingerprint_reads_no_array(tmp_path: Path, cache: Path) -> None:
    where = there(as_parquet(tmp_path / "data", shapes()), cache)
    Shapes().fingerprint(where)
    manifest = entry(cache) / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(document | {"fingerprint": "0" * 20}), encoding="utf-8")
    assert Shapes().fingerprint(where) == "0" * 20


def test_sizes_read_well() -> None:
    assert [hub._bytes(size) for size in (12, 4_000_000, 2_800_000_000)] == ["12 bytes", "4.0 MB", "2.8 GB"]


def test_single_files_of_a_repository_go_through_the_sets_own_reader(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, the_hub: Any
) -> None:
    import huggingface_hub

    data = shapes()
    problem = the_hub(data)
    files = as_own(tmp_path / "snapshot", data)
    asked = []

    def download(hub_id: str, name: str, *, repo_type: str, revision: str | None) -> str:
        asked.append((hub_id, name, repo_type))
        return str(files / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    problem.source = replace(problem.source, files=("own-train.json.gz", "own-test.json.gz"))
    assert problem.fingerprint(there(None, cache)) == Shapes().fingerprint(there(files, tmp_path / "other"))
    assert asked == [(problem.source.hub, name, "dataset") for name in problem.source.files]


def test_the_commit_is_asked_for_and_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, the_hub: Any) -> None:
    problem = the_hub(shapes())
    monkeypatch.setattr(tables, "commit", lambda hub_id, revision: "c0ffee")
    seen: list[str | None] = []
    stream = tables.stream

    def watched(hub_id: str, config: str | None, revision: str | None, *rest: Any) -> Any:
        seen.append(revision)
        return stream(hub_id, config, None, *rest)

    monkeypatch.setattr(tables, "stream", watched)
    problem.fingerprint(there(None, cache))
    assert seen == ["c0ffee", "c0ffee"]
    document = json.loads((entry(cache) / "manifest.json").read_text(encoding="utf-8"))
    assert document["source"]["commit"] == "c0ffee"


def test_bars_of_the_hubs_libraries_are_put_back(cache: Path, the_hub: Any) -> None:
    import huggingface_hub.utils

    problem = the_hub(shapes())
    datasets.enable_progress_bars()
    problem.fingerprint(there(None, cache))
    assert not datasets.are_progress_bars_disabled()
    assert not huggingface_hub.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
