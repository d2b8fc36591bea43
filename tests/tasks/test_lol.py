"""LOL from a tiny copy in its authors' layout: both layouts, what is left out, bad files, crops, and a session."""

import zipfile
from pathlib import Path

import lol_copy
import numpy as np
import pytest
import torch
from lol_copy import as_archive, as_folders

import tasks
from tasks.hub import HubProblem
from tasks.image_sessions import CROP, CropSession
from tasks.locations import Locations


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return lol_copy.images()


def located(folder: Path) -> Locations:
    return Locations(str(folder), str(folder / "cache"), offline=True)


@pytest.fixture(scope="module")
def where(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Locations:
    folder = tmp_path_factory.mktemp("lol")
    as_folders(folder / "lol", files)
    return located(folder)


def lol() -> HubProblem:
    problem = tasks.problem("lol")
    assert isinstance(problem, HubProblem)
    return problem


def refused(folder: Path) -> str:
    with pytest.raises(tasks.TaskError) as caught:
        lol().fingerprint(located(folder))
    assert "\n" not in str(caught.value)
    assert not list((folder / "cache").glob("*"))
    return str(caught.value)


def test_folders_and_the_archive_are_one_set(files: dict[str, bytes], where: Locations, tmp_path: Path) -> None:
    archive = located(as_archive(tmp_path, files))
    said = lol().prepare(archive)
    assert said.startswith("5 rows, 1 left out: the pair is known not to show one scene; ")
    assert lol().fingerprint(archive) == lol().fingerprint(where)


def test_pairs_are_in_order_and_belong_together(where: Locations) -> None:
    arrays = lol().arrays(where)
    assert arrays.inputs.shape == arrays.targets[0].shape == (lol_copy.PAIRS, 3, 400, 600)
    assert arrays.inputs.dtype == np.uint8
    assert arrays.parts == (3, 2)
    for low, high in zip(arrays.inputs, arrays.targets[0], strict=True):
        assert np.abs(low - high / 6.0).max() < 3
    cut = lol().cut(arrays, seed=1)
    assert sorted([*cut.train, *cut.validation]) == [0, 1, 2]
    assert cut.test.tolist() == [3, 4]


def test_pairs_for_testing_stay_whatever_they_and_their_folder_are_called(files: dict[str, bytes], tmp_path: Path) -> None:
    renamed = {name.replace("eval15/low/22", "eval15/low/79").replace("eval15/high/22", "eval15/high/79"): of for name, of in files.items()}
    for pack in (as_folders, as_archive):
        arrays = lol().arrays(located(pack(tmp_path / "copy of our485" / pack.__name__, renamed)))
        assert arrays.parts == (3, 2)


def test_an_image_that_does_not_decode_is_named(files: dict[str, bytes], tmp_path: Path) -> None:
    broken = {**files, "our485/high/5.png": files["our485/high/5.png"][:2000]}
    assert "our485, pair 5.png, high: the image does not decode" in refused(as_folders(tmp_path / "a", broken))
    assert "our485, pair 5.png, high: the image does not decode" in refused(as_archive(tmp_path / "b", broken))


def test_an_image_of_another_size_is_named(files: dict[str, bytes], tmp_path: Path) -> None:
    small = {**files, "eval15/low/22.png": lol_copy.images((200, 300))["eval15/low/22.png"]}
    assert "eval15, pair 22.png, low: the image is 200x300; expected 400x600" in refused(as_folders(tmp_path, small))


@pytest.mark.parametrize(("lost", "side"), [("our485/high/12.png", "high"), ("eval15/low/1.png", "low")])
def test_a_missing_partner_is_named(files: dict[str, bytes], tmp_path: Path, lost: str, side: str) -> None:
    fewer = {name: content for name, content in files.items() if name != lost}
    assert f"{lost.split('/')[-1]} has no partner in {side}" in refused(as_folders(tmp_path / "a", fewer))
    assert f"{lost.split('/')[-1]} has no partner in {side}" in refused(as_archive(tmp_path / "b", fewer))


def test_empty_and_missing_folders_are_named(files: dict[str, bytes], tmp_path: Path) -> None:
    for side in ("low", "high"):
        (tmp_path / "a" / "our485" / side).mkdir(parents=True)
    assert "our485: no PNG file in its folders low and high" in refused(tmp_path / "a")
    training = {name: content for name, content in files.items() if name.startswith("our485")}
    assert "has split our485 but not eval15" in refused(as_folders(tmp_path / "b", training))
    assert "split eval15" in refused(as_archive(tmp_path / "c", training))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "lol_dataset.zip").write_bytes(b"PK, but nothing more")
    assert "lol_dataset.zip: not a whole zip file" in refused(tmp_path / "d")
    assert "python -m benchmark prepare --problem lol" in refused(tmp_path / "e")


def test_a_session_trains_on_crops_and_evaluates_whole_images(where: Locations) -> None:
    session = lol().open(0, 2, where=where)
    assert isinstance(session, CropSession)
    dark, bright = session.batch(0)
    assert dark.shape == bright.shape == (2, 3, CROP, CROP)
    assert all(torch.equal(*pair) for pair in zip(session.batch(0), session.batch(0), strict=True))
    assert (dark.float() - bright / 6).abs().max() < 3  # the same crop of both
    losses, _ = session.losses((dark, bright))
    sum(losses).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in session.shared())
    assert len(session._test) == 2
    found = session.evaluate("test")
    declared = lol().card.metrics()
    assert list(found.metrics) == list(declared)
    assert all(declared[key].low <= value <= declared[key].high for key, value in found.metrics.items())
    assert [panel.title for panel in session.gallery("test", 1)[0]] == ["in the dark", "output", "reference"]  # type: ignore[union-attr]
    assert session.gallery("test", 1)[0][1].pixels.shape == (400, 600, 3)  # type: ignore[union-attr]


def test_only_what_is_in_the_training_part_is_left_out(files: dict[str, bytes], tmp_path: Path) -> None:
    pair = {f"eval15/{side}/79.png": files[f"eval15/{side}/1.png"] for side in ("low", "high")}
    assert lol().prepare(located(as_folders(tmp_path / "our485", files | pair))).startswith("6 rows, 1 left out")


def test_odd_archives_are_read_or_named(files: dict[str, bytes], tmp_path: Path) -> None:
    archive = as_archive(tmp_path / "a", {}) / "lol_dataset.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, content in files.items():
            out.writestr(f"./{name}", content)
            out.writestr(f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}", b"of macOS")
    assert lol().prepare(located(archive.parent)).startswith("5 rows, 1 left out")
    plain = as_archive(tmp_path / "b", files) / "lol_dataset.zip"
    content = bytearray(plain.read_bytes())
    for entry in (at for at in range(len(content)) if content[at : at + 4] == b"PK\1\2"):
        content[entry + 8] |= 1  # says that it is encrypted
    plain.write_bytes(content)
    assert "not a whole zip file: " in refused(plain.parent)
