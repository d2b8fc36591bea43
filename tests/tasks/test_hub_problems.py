"""Each set that does not ship: from its hub's schema and from its own files, what is made of it, and that it trains."""

from __future__ import annotations

import gzip
import io
import math
import sys
import tarfile
from pathlib import Path

import datasets
import hub_copies
import numpy as np
import pytest
import torch
from hub_copies import COPIES, ORIGINALS, as_folder, as_parquet
from PIL import EpsImagePlugin, Image
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error

import tasks
from tasks import adult, memory, multimnist, supervised
from tasks.credit import Credit
from tasks.gallery import Confusion, Picture, Scatter
from tasks.hub import HubProblem
from tasks.images import PixelStandardiser
from tasks.locations import Locations
from tasks.message_passing import MessagePassing, MoleculeSession
from tasks.multimnist import MultiMnist, overlay
from tasks.pixels import pixels
from tasks.qm9 import NUMBERS, PROPERTIES, Qm9
from tasks.supervised import SupervisedSession

ALL = 10**9  # a batch size above the training set: all of it


@pytest.fixture(autouse=True, scope="module")
def quiet_datasets() -> None:
    datasets.disable_progress_bars()


def known(name: str) -> HubProblem:
    problem = tasks.problem(name)
    assert isinstance(problem, HubProblem)
    return type(problem)()  # not the registered one, whose arrays are kept


def test_every_such_problem_has_a_copy() -> None:
    known = {name for name, problem in tasks.problems().items() if isinstance(problem, HubProblem)}
    elsewhere = {"lol", "nyuv2", "nyuv2_segnet", "cityscapes", "cityscapes_segnet"}  # test_lol.py, test_segnets.py
    assert set(COPIES) == known - elsewhere


@pytest.mark.parametrize("name", COPIES)
def test_it_opens_trains_and_evaluates(name: str) -> None:
    session = tasks.problem(name).open(0, 4, where=hub_copies.where())
    optimizer = torch.optim.Adam(session.model.parameters(), lr=1e-3)
    before = [parameter.clone() for parameter in session.model.parameters()]
    for step in range(3):
        losses, representation = session.losses(session.batch(step))
        assert len(losses) == len(tasks.problem(name).card.tasks)
        assert representation is not None
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in session.model.parameters())
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, session.model.parameters(), strict=True))
    for split in ("validation", "test"):
        found = session.evaluate(split)  # type: ignore[arg-type]
        declared = tasks.problem(name).card.metrics()
        assert list(found.metrics) == list(declared)
        assert all(declared[key].low <= value <= declared[key].high for key, value in found.metrics.items())
        assert all(map(math.isfinite, found.losses))
    panels = [panel for row in session.gallery("validation", 2) for panel in row]
    assert sum(isinstance(panel, Scatter | Confusion) for panel in panels) == len(tasks.problem(name).card.tasks)
    pictures = [panel.pixels for panel in panels if isinstance(panel, Picture)]
    assert all(0 <= pixels.min() <= pixels.max() <= 1 for pixels in pictures)
    assert bool(pictures) == (name in ("multimnist", "utkface", "celeba"))


@pytest.mark.parametrize("name", COPIES)
def test_initial_and_prior_losses_are_those_of_zero_and_of_the_best_constant(name: str) -> None:
    session = tasks.problem(name).open(0, ALL, where=hub_copies.where())
    assert isinstance(session, SupervisedSession | MoleculeSession)
    rows = session._train.slice(0, session._rows)
    shapes = [(session._rows, head[-1].out_features if hasattr(head, "__getitem__") else head.out_features) for head in session.net.heads]
    zeros = [torch.zeros(shape) for shape in shapes]
    np.testing.assert_allclose([float(loss) for loss in session.criteria(zeros, rows)], session.initial_losses, rtol=1e-3)

    constants = [torch.zeros(shape[1:], dtype=torch.float32, requires_grad=True) for shape in shapes]
    scale = [session.initial_losses[task] ** 0.5 for task in range(len(shapes))]  # so that every constant is of order one

    def closure() -> torch.Tensor:
        outputs = [constant.expand(shape) * each for constant, shape, each in zip(constants, shapes, scale, strict=True)]
        losses = session.criteria(outputs, rows)
        total = torch.stack([loss / each**2 for loss, each in zip(losses, scale, strict=True)]).sum()
        optimizer.zero_grad()
        total.backward()
        closure.losses = [float(loss.detach()) for loss in losses]  # type: ignore[attr-defined]
        return total

    optimizer = torch.optim.LBFGS(constants, max_iter=200, line_search_fn="strong_wolfe")
    optimizer.step(closure)
    closure()
    np.testing.assert_allclose(closure.losses, session.prior_losses, rtol=1e-3, atol=1e-6)  # type: ignore[attr-defined]


def sorted_rows(problem: HubProblem, where: Locations) -> list[bytes]:
    arrays = problem.arrays(where)
    return sorted(
        b"".join(np.ascontiguousarray(array[row]).tobytes() for array in (arrays.inputs, *arrays.targets))
        for row in range(len(arrays.inputs))
    )


@pytest.mark.parametrize(
    ("name", "way"), [*((name, "save_to_disk") for name in COPIES), *((name, way) for way, (name, _) in ORIGINALS.items())]
)
def test_other_layouts_give_the_same_rows(name: str, way: str, tmp_path: Path) -> None:
    data, folder = COPIES[name](), tmp_path / "data" / name
    if way == "save_to_disk":
        as_folder(folder, data)
    else:
        folder.mkdir(parents=True)
        ORIGINALS[way][1](folder, data)
    problem, where = known(name), Locations(str(tmp_path / "data"), str(tmp_path / "cache"), offline=True)
    said = problem.prepare(where)
    if way == "utkface folder":  # in the order of the names, which is not that of the ages
        assert "3 left out: the file name does not say age_gender_race_date" in said
        assert sorted_rows(problem, where) == sorted_rows(known(name), hub_copies.where())
    else:
        assert problem.fingerprint(where) == known(name).fingerprint(hub_copies.where())


def offline(folder: Path) -> Locations:
    return Locations(str(folder), str(folder / "cache"), offline=True)


def refused(name: str, folder: Path) -> str:
    with pytest.raises(tasks.TaskError) as caught:
        known(name).fingerprint(offline(folder))
    assert "\n" not in str(caught.value)
    assert not list((folder / "cache").glob("*"))
    return str(caught.value)


@pytest.mark.parametrize("name", COPIES)
def test_each_missing_column_is_named(name: str, tmp_path: Path) -> None:
    data = COPIES[name]()
    for column in known(name).source.columns[:: max(1, len(known(name).source.columns) // 6)]:
        folder = as_parquet(tmp_path / column.name / name, {split: rows.remove_columns(column.name) for split, rows in data.items()})
        said = refused(name, folder.parent)
        assert f"column {column.name!r} ({column}) is missing" in said


@pytest.mark.parametrize("name", COPIES)
def test_without_data_the_line_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    said = refused(name, tmp_path)
    assert said.startswith(f"problem {name!r}: ")
    assert ("--data-dir DIR with " in said) or name == "celeba"
    assert (f"python -m benchmark prepare --problem {name} " in said) == (known(name).source.hub is not None)


# --- multimnist ---------------------------------------------------------------------------------------------------------------------------


def test_overlay_against_a_loop() -> None:
    draws = np.random.default_rng(0)
    left, right = draws.integers(0, 256, (2, 5, 28, 28), dtype=np.uint8)
    found = overlay(left, right)
    for pair in range(5):
        for y in range(28):
            for x in range(28):
                cy, cx = math.floor((y + 0.5) * 36 / 28), math.floor((x + 0.5) * 36 / 28)
                one = left[pair, cy, cx] if cy < 28 and cx < 28 else 0
                two = right[pair, cy - 6, cx - 6] if 6 <= cy < 34 and 6 <= cx < 34 else 0
                assert found[pair, y, x] == max(one, two)


def test_digits_are_never_shared_by_two_of_training_validation_and_test(tmp_path: Path) -> None:
    for name, splits in (("both", ("train", "test")), ("test only", ("test",)), ("train only", ("train",))):
        data = {split: rows for split, rows in hub_copies.mnist().items() if split in splits}
        folder = tmp_path / name
        folder.mkdir()
        hub_copies.mnist_files(folder, data)
        problem = MultiMnist()
        arrays = problem.arrays(offline(folder))
        digits = np.concatenate([np.asarray(image)[None] for rows in data.values() for image in rows["image"]])
        cells = multimnist.cells_of({split: len(rows) for split, rows in data.items()})
        assert sorted(np.concatenate(cells)) == list(range(len(digits)))
        assert arrays.parts == tuple(map(len, cells))
        cut = problem.cut(arrays, seed=0)
        assert [len(part) for part in (cut.train, cut.validation, cut.test)] == [len(cell) for cell in cells]
        # Every picture is explained by two digits of its own cell.
        for part, cell in zip((cut.train, cut.validation, cut.test), cells, strict=True):
            for row, digit in zip(part, cell, strict=True):
                made = overlay(np.repeat(digits[[digit]], len(cell), axis=0), digits[cell])
                assert (made == arrays.inputs[row]).all(axis=(1, 2)).any()


def test_parts_of_the_set_are_told_apart(tmp_path: Path) -> None:
    prints = []
    for splits in (("train", "test"), ("test",), ("train",)):
        folder = tmp_path / "-".join(splits)
        folder.mkdir()
        hub_copies.mnist_files(folder, {split: rows for split, rows in hub_copies.mnist().items() if split in splits})
        prints.append(MultiMnist().fingerprint(offline(folder)))
    assert len(set(prints)) == 3


def test_broken_idx_files(tmp_path: Path) -> None:
    hub_copies.mnist_files(tmp_path, hub_copies.mnist())
    images, labels = tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz"
    whole = images.read_bytes()
    content = gzip.decompress(whole)
    for bad, expected in (
        (whole[:-100], "not a whole gzip file"),
        (b"<html>", "not a whole gzip file"),
        (gzip.compress(content[:-5]), "60 x 28 x 28: truncated"),
        (gzip.compress(b""), "begins with nothing"),
        (gzip.compress(content[:3] + b"\1" + content[4:]), "not an idx file of bytes in 3 dimensions (it begins with 00 00 08 01)"),
    ):
        images.write_bytes(bad)
        said = refused("multimnist", tmp_path)
        assert f"{images}: " in said
        assert expected in said
    images.write_bytes(whole)
    hub_copies.write_idx(labels, np.full(60, 10))
    assert f"{images}, digit 0: label is 10; expected integer from 0 to 9" in refused("multimnist", tmp_path)
    hub_copies.write_idx(labels, np.zeros(59))
    assert "60 images, but 59 labels" in refused("multimnist", tmp_path)
    labels.unlink()
    assert f"{labels} is missing beside {images.name}" in refused("multimnist", tmp_path)
    hub_copies.write_idx(labels, np.zeros(60))
    hub_copies.write_idx(images, np.zeros((60, 20, 28)))
    assert "digit 0: the image is 20x28; expected 28x28 pixels" in refused("multimnist", tmp_path)
    hub_copies.write_idx(labels, np.zeros(0))
    hub_copies.write_idx(images, np.zeros((0, 28, 28)))
    assert "split train has no row" in refused("multimnist", tmp_path)


# --- tables -------------------------------------------------------------------------------------------------------------------------------


def test_credit_keeps_no_label_among_its_inputs_and_folds_unknown_codes() -> None:
    data = hub_copies.credit()["train"].to_dict()
    arrays = Credit().arrays(hub_copies.where())
    default, education, limit = arrays.targets
    assert default.tolist() == data["default.payment.next.month"]
    assert education.tolist() == [{1: 0, 2: 1, 3: 2}.get(code, 3) for code in data["EDUCATION"]]
    np.testing.assert_allclose(limit[:, 0], np.array(data["LIMIT_BAL"]) / 1000)
    assert arrays.inputs.shape == (60, 23)
    assert arrays.inputs[:, 1:4].tolist() == [[float(code == c) for c in (1, 2, 3)] for code in [code or 3 for code in data["MARRIAGE"]]]
    for target in (default, education, limit[:, 0]):
        assert not any(np.array_equal(column, target) for column in arrays.inputs.T)
    np.testing.assert_allclose(arrays.inputs[:, 11], [math.copysign(math.log1p(abs(x)), x) for x in data["BILL_AMT1"]], rtol=1e-6)


def test_adult_is_one_hot_with_a_class_for_what_was_not_said() -> None:
    data = hub_copies.adult_census()["train"].to_dict()
    arrays = known("adult").arrays(hub_copies.where())
    assert arrays.inputs.shape == (60, 37)
    work = arrays.inputs[:, 5 : 5 + len(adult.WORK)]
    assert [adult.WORK[row.argmax()] for row in work] == data["workclass"]
    assert set(arrays.inputs[:, 5:].sum(axis=1).tolist()) == {4.0}  # one of each: work, occupation, race, country
    assert arrays.targets[0].tolist() == [int(word == ">50K") for word in data["income"]]
    assert arrays.targets[1].tolist() == [int(word == "Never-married") for word in data["marital.status"]]
    assert arrays.targets[2][:, 0].tolist() == data["hours.per.week"]


def test_bad_csv_files(tmp_path: Path) -> None:
    hub_copies.credit_file(tmp_path, hub_copies.credit())
    path = tmp_path / "default_of_credit.csv"
    whole = path.read_text(encoding="utf-8")
    header, first, *_ = whole.split("\n")
    cells = first.split(",")
    for bad, expected in (
        (whole.replace('"ID"', '"SEX"'), f"{path}: column 'SEX' is there 2 times; expected it once"),
        (whole.replace('"SEX"', '"SEKS"'), f"{path}: column 'SEX' (integer) is missing"),
        (whole[: len(whole) - 40], " values; expected 25, as in the header"),
        (whole.replace(first, ",".join([*cells[:2], "male", *cells[3:]])), f"{path}, line 2: SEX is 'male'; expected integer"),
        (whole.replace(first, ",".join([*cells[:2], "3", *cells[3:]])), f"{path}, line 2: SEX is 3; expected integer from 1 to 2"),
        (whole.replace(first, ",".join([*cells[:5], "nan", *cells[6:]])), f"{path}, line 2: AGE is nan; expected float from 18 to 120"),
        (header + "\n", "split train has no row"),
        ("", "column 'LIMIT_BAL' (float) is missing (it has: none)"),
        (whole + '"', f"{path}, line 62: not CSV"),
        (whole.replace(first, ",".join([*cells[:2], "9" * 25, *cells[3:]])), f"{path}, line 2: SEX is '{'9' * 25}'; expected integer"),
        (whole.replace(first, ",".join([cells[0], "1e300", *cells[2:]])), f"{path}, line 2: limit is beyond what float32 can hold"),
    ):
        path.write_text(bad, encoding="utf-8")
        assert expected in refused("credit", tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    assert f"{path}: not UTF-8 text" in refused("credit", tmp_path)


# --- images -------------------------------------------------------------------------------------------------------------------------------


def test_a_face_that_does_not_decode_or_is_too_old_is_named(tmp_path: Path) -> None:
    hub_copies.utkface_files(tmp_path, hub_copies.utkface())
    path = sorted((tmp_path / "UTKFace").glob("*_2017*"))[7]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert f"{path}: the image does not decode: " in refused("utkface", tmp_path)
    path.write_bytes(whole)
    path.rename(path.with_name("121_0_0_20170101.jpg"))
    assert "121_0_0_20170101.jpg: age is 121; expected integer from 0 to 120" in refused("utkface", tmp_path)


def test_a_face_that_is_there_twice_or_cannot_be_opened_is_named(tmp_path: Path) -> None:
    hub_copies.utkface_files(tmp_path, hub_copies.utkface())
    inside = tmp_path / "UTKFace"
    (inside / "20_1_1_20990101.jpg").symlink_to(tmp_path / "nowhere")
    assert f"{inside / '20_1_1_20990101.jpg'}: cannot read the file: No such file" in refused("utkface", tmp_path)
    (inside / "20_1_1_20990101.jpg").unlink()
    (inside / "20_1_1_20990101.jpg").mkdir()
    assert f"{inside / '20_1_1_20990101.jpg'}: cannot read the file: Is a directory" in refused("utkface", tmp_path)
    (inside / "20_1_1_20990101.jpg").rmdir()
    for ending in (".jpg", ".jpg.chip.jpg"):
        (inside / f"20_1_1_20990101{ending}").write_bytes(b"")
    assert "both 20_1_1_20990101.jpg and 20_1_1_20990101.jpg.chip.jpg, one face" in refused("utkface", tmp_path)


def test_postscript_is_no_image_and_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)
    with pytest.raises(tasks.TaskError, match="row 3: the image does not decode: cannot identify"):
        pixels(file.getvalue(), "RGB", "row 3")


def test_pixels_are_standardised_by_the_training_rows_alone() -> None:
    draws = np.random.default_rng(0)
    inputs = draws.integers(0, 256, (3000, 3, 4, 4), dtype=np.uint8)
    inputs[:, 2] = 7  # a channel without contrast
    train = draws.permutation(3000)[:2500]
    found = PixelStandardiser(inputs, train)(inputs)
    assert found.dtype == np.float32
    mean = inputs[train].astype(np.float64).mean(axis=(0, 2, 3), keepdims=True)
    std = inputs[train].astype(np.float64).std(axis=(0, 2, 3), keepdims=True)
    std[std == 0] = 1
    np.testing.assert_allclose(found, (inputs - mean) / std, atol=1e-6)


def test_pixels_that_fit_need_no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert pixels(grey, "L", "here") is grey
    with pytest.raises(tasks.MissingDependency, match=r"^here: an image needs pillow: pip install 'lossbench\[hub\]'$"):
        pixels(grey, "RGB", "here")


@pytest.mark.parametrize("name", ["utkface", "celeba", "qm9"])
def test_a_set_that_stays_on_the_disk_trains_as_one_that_is_held(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = tasks.problem(name).open(0, 4, where=hub_copies.where())
    monkeypatch.setattr(memory, "HELD", 0)
    streamed = tasks.problem(name).open(0, 4, where=hub_copies.where())
    for step in (0, 3):
        assert all(map(torch.equal, held.batch(step), streamed.batch(step)))
    assert streamed.evaluate("test") == held.evaluate("test")


# --- molecules ----------------------------------------------------------------------------------------------------------------------------

METHANE = """5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893\t\
-40.476062\t-40.475117\t-40.498597\t6.469\t
C\t-0.0126981359\t 1.0858041578\t 8.0009958*^-3\t-0.535689
H\t 0.002150416\t-0.0060313176\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.765748*^-4\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
"""The first molecule of the set, as its authors wrote it."""


def test_energies_of_methane_are_those_of_the_published_tables(tmp_path: Path) -> None:
    for number in range(1, 31):
        (tmp_path / f"dsgdb9nsd_{number:06}.xyz").write_text(METHANE, encoding="utf-8")
    arrays = Qm9().arrays(offline(tmp_path))
    found = {name: float(target[0, 0]) for name, target in zip(PROPERTIES, arrays.targets, strict=True)}
    expected = {"mu": 0, "alpha": 13.21, "homo": -10549.85, "lumo": 3186.45, "r2": 35.3641, "zpve": 1217.68, "cv": 6.469}
    assert found == pytest.approx(found | expected, rel=1e-5)
    # Atomisation energies of gdb 1 in eV as in PyTorch Geometric's copy of the set
    assert [found[name] / 1000 for name in ("u0", "u", "h", "g")] == pytest.approx([-17.1722, -17.2868, -17.3897, -16.1519], abs=2e-3)
    assert arrays.inputs[0, :6, 0].tolist() == [6, 1, 1, 1, 1, 0]
    np.testing.assert_allclose(arrays.inputs[0, 0, 1:], [-0.0126981359, 1.0858041578, 0.0080009958], rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("H\t 0.002", "X\t 0.002", "atom 'X'; expected one of H, C, N, O, F"),
        ("5\n", "5.5\n", "not a molecule of QM9"),
        (METHANE[250:], "", "not a molecule of QM9"),
        ("\t6.469", "", "not a molecule of QM9"),
        ("13.21", "inf", "alpha is inf; expected a finite number"),
    ],
)
def test_broken_molecules_are_named(old: str, new: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "dsgdb9nsd_000001.xyz").write_text(METHANE, encoding="utf-8")
    (tmp_path / "dsgdb9nsd_000002.xyz").write_text(METHANE.replace(old, new, 1), encoding="utf-8")
    said = refused("qm9", tmp_path)
    assert "dsgdb9nsd_000002.xyz: " in said
    assert expected in said


def test_odd_molecule_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "dsgdb9nsd_000001.xyz"
    path.write_bytes(b"5\n\xff")
    assert f"{path}: not UTF-8 text: invalid start byte at byte 2" in refused("qm9", tmp_path)
    path.unlink()
    path.mkdir()
    assert f"{path}: cannot read the file: Is a directory" in refused("qm9", tmp_path)


def test_only_whole_members_of_an_archive_are_read(tmp_path: Path) -> None:
    link, text = tarfile.TarInfo("dsgdb9nsd_000001.xyz"), tarfile.TarInfo("dsgdb9nsd_000002.xyz")
    link.type, link.linkname, text.size = tarfile.SYMTYPE, "/etc/passwd", 1
    with tarfile.open(tmp_path / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as archive:
        archive.addfile(link)
        archive.addfile(text, io.BytesIO(b"\xff"))
    assert "dsgdb9nsd.xyz.tar.bz2, dsgdb9nsd_000002.xyz: not UTF-8 text" in refused("qm9", tmp_path)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    hub_copies.qm9_archive(tmp_path, hub_copies.qm9())
    path = tmp_path / "dsgdb9nsd.xyz.tar.bz2"
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{path}: not a whole archive: " in refused("qm9", tmp_path)


def test_message_passing_sees_neither_place_nor_order_nor_padding() -> None:
    torch.manual_seed(0)
    net = MessagePassing(tuple(NUMBERS.values()), width=16, rounds=3).double()
    molecule = torch.zeros(1, 9, 4, dtype=torch.float64)
    molecule[0, :5, 0] = torch.tensor([6.0, 1, 8, 7, 9])
    molecule[0, :5, 1:] = torch.randn(5, 3, dtype=torch.float64)
    expected = net(molecule)
    turned = molecule.clone()
    turned[0, :5, 1:] = molecule[0, :5, 1:] @ torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0] + 1.5
    shuffled = molecule[:, torch.randperm(9)]
    for same in (turned, shuffled, molecule[:, :5]):
        torch.testing.assert_close(net(same), expected)
    moved = molecule.clone()
    moved[0, 0, 1] += 0.1
    assert not torch.allclose(net(moved), expected)
    other = molecule.clone()
    other[0, 1, 0] = 9
    assert not torch.allclose(net(other), expected)


def test_molecule_errors_are_in_the_units_of_the_targets() -> None:
    session = tasks.problem("qm9").open(0, ALL, where=hub_copies.where())
    found = session.evaluate("test")
    assert isinstance(session, MoleculeSession)
    rows = session._test.slice(0, len(session._test))
    with torch.no_grad():
        outputs = session.net(rows[0])[0]
    for task, name in enumerate(PROPERTIES):
        predicted = outputs[task].double() * session.std[task] + session.mean[task]
        assert found.metrics[f"{name}/mae"] == pytest.approx(float((predicted - rows[1 + task]).abs().mean()), rel=1e-4)


# --- metrics and pictures -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_metrics_and_losses_against_scikit_learn(seed: int) -> None:
    draws = np.random.default_rng(seed)
    one, label = draws.normal(size=(200, 1)), draws.integers(0, 2, 200)
    five, group = draws.normal(size=(200, 5)), draws.choice(5, 200, p=[0.6, 0.2, 0.1, 0.1, 0])  # a class that never occurs
    binary = float(supervised.classification_loss(torch.tensor(one), torch.tensor(label)))
    assert binary == pytest.approx(log_loss(label, 1 / (1 + np.exp(-one[:, 0]))))
    for outputs, labels, average in ((one, label, "binary"), (five, group, "macro")):
        said = supervised.decided(outputs)
        pair = torch.tensor(outputs), torch.tensor(labels)
        assert float(supervised.accuracy(*pair)) == pytest.approx(accuracy_score(labels, said))
        assert float(supervised.f1(*pair)) == pytest.approx(f1_score(labels, said, average=average))
    age = draws.uniform(1, 100, (200, 1))
    found = float(supervised._METRICS["mae"](torch.tensor(one), torch.tensor(age)))
    assert found == pytest.approx(mean_absolute_error(age, one))


@pytest.mark.parametrize("name", ["credit", "utkface", "multimnist", "qm9"])
def test_the_gallery_shows_what_the_metrics_say(name: str) -> None:
    session, card = tasks.problem(name).open(0, 8, where=hub_copies.where()), tasks.problem(name).card
    metrics, rows = session.evaluate("test").metrics, session.gallery("test", examples=3)
    panels = {panel.title: panel for row in rows for panel in row if not isinstance(panel, Picture)}
    assert list(panels) == [task.name for task in card.tasks]
    for task in card.tasks:
        panel = panels[task.name]
        if isinstance(panel, Confusion):
            assert panel.counts.trace() / panel.counts.sum() == pytest.approx(metrics[f"{task.name}/accuracy"])
        else:
            assert isinstance(panel, Scatter)
            error = np.abs(panel.prediction.astype(np.float64) - panel.target)
            known = {f"{task.name}/mae": error.mean(), f"{task.name}/rmse": (error**2).mean() ** 0.5}
            assert all(known[key] == pytest.approx(value, rel=1e-4) for key, value in metrics.items() if key in known)


def test_pictures_are_the_stored_images() -> None:
    problem = tasks.problem("utkface")
    session = problem.open(0, 8, where=hub_copies.where())
    assert isinstance(problem, HubProblem)
    stored = np.asarray(problem.arrays(hub_copies.where()).inputs).transpose(0, 2, 3, 1) / 255
    pictures = session.gallery("test", examples=3)[0]
    assert len(pictures) == 3
    for picture in pictures:
        assert isinstance(picture, Picture)
        assert np.abs(stored - picture.pixels).max(axis=(1, 2, 3)).min() < 1e-6


def test_forty_tasks_are_shown_in_rows() -> None:
    session = tasks.problem("celeba").open(0, 4, where=hub_copies.where())
    assert [len(row) for row in session.gallery("test", examples=2)] == [2, 8, 8, 8, 8, 8]
