"""NYUv2 and Cityscapes on tiny copies in their hubs' schemas, with narrow SegNets; the networks; the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch import nn

import tasks
from tasks.cityscapes import GROUPS, Cityscapes, grouped
from tasks.dense_session import DenseSession
from tasks.errors import TaskError
from tasks.hub import HubProblem
from tasks.locations import Locations
from tasks.nyuv2 import UNITS, Nyuv2
from tasks.rows import Rows
from tasks.segnet import Mtan, SegNet

NARROW = (2, 3, 4, 4, 4)


def nyuv2_rows(rows: int, seed: int) -> dict[str, Any]:
    draws = np.random.default_rng(seed)
    normal = draws.normal(size=(rows, 3, 288, 384))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal[:, :, :40] = 0
    normal[:, :, 40] = np.array([0.5, -0.5, 0])[:, None]  # the sum of its components is 0
    depth = draws.uniform(0.7, 9, (rows, 1, 288, 384))
    depth[:, :, :, :30] = 0
    return {
        "image": draws.random((rows, 3, 288, 384), dtype=np.float32),
        "segmentation": draws.integers(-1, 13, (rows, 288, 384)),
        "depth": depth.astype(np.float32),
        "normal": normal.astype(np.float32),
        "noise": draws.random((rows, 1, 288, 384), dtype=np.float32),
    }


NYUV2 = {
    "image": datasets.Array3D((3, 288, 384), "float32"),
    "segmentation": datasets.Array2D((288, 384), "int64"),
    "depth": datasets.Array3D((1, 288, 384), "float32"),
    "normal": datasets.Array3D((3, 288, 384), "float32"),
    "noise": datasets.Array3D((1, 288, 384), "float32"),
}


def cityscapes_rows(rows: int, seed: int, classes: int = 7) -> dict[str, Any]:
    draws = np.random.default_rng(seed)
    label = draws.integers(-1, classes, (rows, 128, 256))
    label[:, 0, :classes] = np.arange(classes)
    depth = draws.uniform(0.001, 0.4, (rows, 1, 128, 256))
    depth[:, :, :10] = 0
    return {"image": draws.random((rows, 3, 128, 256), dtype=np.float32), "segmentation": label, "depth": depth.astype(np.float32)}


CITYSCAPES = {
    "image": datasets.Array3D((3, 128, 256), "float32"),
    "segmentation": datasets.Array2D((128, 256), "int64"),
    "depth": datasets.Array3D((1, 128, 256), "float32"),
}


def save(folder: Path, features: dict[str, Any], **splits: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for split, columns in splits.items():
        listed = {name: list(values) for name, values in columns.items()}
        datasets.Dataset.from_dict(listed, features=datasets.Features(features)).to_parquet(folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locations]:
    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("dense")
    save(folder / "data" / "nyuv2", NYUV2, train=nyuv2_rows(4, 0), val=nyuv2_rows(2, 1))
    save(folder / "data" / "cityscapes", CITYSCAPES, train=cityscapes_rows(6, 0), validation=cityscapes_rows(3, 1))
    yield Locations(str(folder / "data"), str(folder / "cache"), offline=True)
    datasets.enable_progress_bars()


MAKE: dict[str, Callable[[], HubProblem]] = {
    "nyuv2": lambda: Nyuv2("nyuv2", "", attention=True, widths=NARROW),
    "nyuv2, shared": lambda: Nyuv2("nyuv2", "", attention=False, widths=NARROW),
    "cityscapes": lambda: Cityscapes("cityscapes", "", attention=True, widths=NARROW),
    "cityscapes, shared": lambda: Cityscapes("cityscapes", "", attention=False, widths=NARROW),
}


def opened(name: str, where: Locations, seed: int = 0) -> DenseSession:
    session = MAKE[name]().open(seed, 2, where=where)
    assert isinstance(session, DenseSession)
    return session


def test_nyuv2_is_read_as_the_papers_read_it(where: Locations) -> None:
    arrays = MAKE["nyuv2"]().arrays(where)
    columns = {
        name: np.concatenate([nyuv2_rows(4, 0)[name], nyuv2_rows(2, 1)[name]]) for name in ("image", "segmentation", "depth", "normal")
    }
    label, depth, normal = arrays.targets
    assert arrays.parts == (4, 2)
    assert np.abs(arrays.inputs - columns["image"]).max() < 1 / 2000
    assert np.array_equal(label, columns["segmentation"])
    assert np.array_equal(depth, columns["depth"])
    there = columns["normal"].sum(1, keepdims=True) != 0  # the published mask, quirk and all
    assert not there[:, :, 40].any()
    assert np.abs(normal / 32767 - columns["normal"] * there).max() < 2e-5
    assert np.array_equal((normal != 0).any(1, keepdims=True), there)


def test_both_networks_train_on_one_copy(where: Locations) -> None:
    found = {name: tasks.problem(name) for name in ("nyuv2", "nyuv2_segnet", "cityscapes", "cityscapes_segnet")}
    fingerprints = {name: problem.fingerprint(where) for name, problem in found.items()}
    assert fingerprints["nyuv2"] == fingerprints["nyuv2_segnet"] != fingerprints["cityscapes"] == fingerprints["cityscapes_segnet"]
    kept = [path.name.rpartition("-")[0] for path in Path(where.cache).iterdir()]
    assert sorted(kept) == ["cityscapes", "nyuv2"]


def test_selection_never_sees_the_published_test_set(where: Locations) -> None:
    problem = MAKE["nyuv2"]()
    arrays = problem.arrays(where)
    for seed in range(5):
        cut = problem.cut(arrays, seed)
        assert cut.test.tolist() == [4, 5]
        assert sorted([*cut.train, *cut.validation]) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", MAKE)
def test_it_trains_evaluates_and_shows(name: str, where: Locations) -> None:
    session = opened(name, where)
    card = MAKE[name]().card
    optimizer = torch.optim.Adam(session.model.parameters(), lr=1e-3)
    shared, private = list(session.shared()), list(session.net.heads.parameters())
    assert {id(p) for p in session.last_layer()} < {id(p) for p in shared}
    for step in range(2):
        losses, representation = session.losses(session.batch(step))
        assert (representation is None) == ("shared" not in name)
        for index, loss in enumerate(losses):
            reached = [g is not None for g in torch.autograd.grad(loss, private, retain_graph=True, allow_unused=True)]
            own = {id(p) for p in session.net.heads[index].parameters()}
            assert reached == [id(p) in own for p in private]
            assert all((g != 0).any() for g in torch.autograd.grad(loss, list(session.last_layer()), retain_graph=True))
            if representation is not None:
                assert torch.autograd.grad(loss, representation, retain_graph=True)[0].shape == representation.shape
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in [*shared, *private])
        optimizer.step()
    metrics = session.evaluate("test").metrics
    declared = card.metrics()
    assert list(metrics) == list(declared)
    assert all(declared[key].low <= value <= declared[key].high for key, value in metrics.items())
    assert [len(row) for row in session.gallery("test", 1)] == [1 + 2 * len(card.tasks)]
    assert session.events == {}


@pytest.mark.parametrize("name", ["nyuv2, shared", "cityscapes, shared"])
def test_constants_are_the_measured_ones(name: str, where: Locations) -> None:
    session = opened(name, where)
    rows = session._train.slice(0, len(session._train))
    channels = [head[-1].out_channels for head in session.net.heads]
    meter = session.meter()
    meter.update([torch.zeros(len(rows[0]), count, *rows[0].shape[2:]) for count in channels], rows)
    assert meter.compute().losses == pytest.approx(session.initial_losses, rel=1e-4)
    best = []
    for index, stored in enumerate(rows[1:]):
        if index == 0:
            frequency = torch.bincount(stored[stored != -1].long(), minlength=channels[0]).double()
            best.append((frequency / frequency.sum()).log())
        elif index == 1:
            best.append(stored[stored != 0].double().median()[None])
        else:
            best.append(stored.double().sum((0, 2, 3)))
    meter = session.meter()
    meter.update([each.float()[None, :, None, None].expand(len(rows[0]), -1, *rows[0].shape[2:]) for each in best], rows)
    assert meter.compute().losses == pytest.approx(session.prior_losses, rel=1e-3)


def test_training_batches_are_augmented_and_held_out_rows_are_not(where: Locations) -> None:
    session = opened("nyuv2, shared", where)
    stored = {row.tobytes() for row in session._train.slice(0, 9)[0].numpy()}
    seen = [row.tobytes() in stored for step in range(6) for row in session.batch(step)[0].numpy()]
    assert not all(seen)
    assert all(torch.equal(a, b) for a, b in zip(session.batch(3), opened("nyuv2, shared", where).batch(3), strict=True))
    held_out: list[torch.Tensor] = []
    session.visit("test", lambda outputs, rows: held_out.append(rows[0]))
    assert torch.equal(torch.cat(held_out), torch.from_numpy(np.asarray(MAKE["nyuv2"]().arrays(where).inputs[4:]).astype(np.float32)))


def test_cityscapes_finds_out_what_its_labels_and_columns_are(tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    fine = cityscapes_rows(4, 0, classes=19)
    fine["segmentation"][:, 1] = 255
    renamed = {"segmentation": "segmentation_19", "depth": "disparity"}
    features = {renamed.get(name, name): feature for name, feature in CITYSCAPES.items()}
    rows = [{renamed.get(name, name): values for name, values in each.items()} for each in (fine, cityscapes_rows(2, 1, classes=19))]
    save(tmp_path / "data", features, train=rows[0], validation=rows[1])
    datasets.enable_progress_bars()
    label = MAKE["cityscapes"]().arrays(Locations(str(tmp_path / "data"), str(tmp_path / "cache"), offline=True)).targets[0][:4]
    expected = np.array([*GROUPS, -1])[np.where(fine["segmentation"] == 255, -1, fine["segmentation"])]
    assert np.array_equal(label, expected)


def test_labels_of_neither_kind_are_refused() -> None:
    seven = np.array([[-1, 0, 6]], dtype=np.int8)
    assert grouped(seven, "cityscapes") is seven
    with pytest.raises(TaskError, match=r"labels up to 7; expected 0 .. 6 \(7 classes\) or 0 .. 18"):
        grouped(seven + 1, "cityscapes")
    assert len(GROUPS) == 19
    assert sorted(set(GROUPS)) == list(range(7))


def test_normals_a_little_too_long_keep_their_sign() -> None:
    normal = np.zeros((1, 3, 1, 2), np.float32)
    normal[0, :, 0] = [[1.0009, -1.0009], [0, 0], [0, 0]]
    rows = {"image": np.zeros((1, 3, 1, 2)), "segmentation": np.zeros((1, 1, 2)), "depth": np.zeros((1, 1, 1, 2)), "normal": normal}
    stored = MAKE["nyuv2"]().decode(Rows(rows, str), Counter())["normal"]
    assert stored[0, 0, 0].tolist() == [UNITS, -UNITS]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("segmentation", 13, "segmentation is 13; expected integer from -1 to 12"), ("depth", np.nan, "depth is nan")],
)
def test_labels_out_of_range_are_named(tmp_path: Path, column: str, value: float, said: str) -> None:
    datasets.disable_progress_bars()
    bad = nyuv2_rows(1, 0)
    bad[column][0, ..., 5, 7] = value
    save(tmp_path / "data", NYUV2, train=nyuv2_rows(1, 1), val=bad)
    datasets.enable_progress_bars()
    with pytest.raises(TaskError, match=said):
        MAKE["nyuv2"]().arrays(Locations(str(tmp_path / "data"), str(tmp_path / "cache"), offline=True))
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


# --- the networks and the recipe ----------------------------------------------------------------------------------------------------------


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_sizes_are_about_the_published_ones() -> None:
    """SegNet has 25 million parameters here; MTAN's paper says that attention for three tasks makes it 1.77 times as large."""
    with torch.device("meta"):
        shared, attention = SegNet((13, 1, 3)), Mtan((13, 1, 3))
    assert millions(shared) == pytest.approx(25, rel=0.01)
    assert millions(attention) / millions(shared) == pytest.approx(1.77, rel=0.02)


@pytest.mark.parametrize("kind", [SegNet, Mtan])
def test_outputs_have_the_size_of_the_image(kind: type[SegNet] | type[Mtan]) -> None:
    outputs, _ = kind((13, 1, 3), NARROW)(torch.rand(2, 3, 64, 96))
    assert [tuple(output.shape) for output in outputs] == [(2, 13, 64, 96), (2, 1, 64, 96), (2, 3, 64, 96)]


@pytest.mark.parametrize(("name", "epoch"), [("nyuv2", 358), ("nyuv2_segnet", 358), ("cityscapes", 334), ("cityscapes_segnet", 334)])
def test_the_recipe_is_the_published_one(name: str, epoch: int) -> None:
    card = tasks.problem(name).card
    assert (card.steps, card.halve_every, card.learning_rate) == (200 * epoch, 100 * epoch, 1e-4)
    assert card.batch_size == (2 if "nyu" in name else 8)
    entry = next(entry for entry in tasks.suite("dense").entries if entry.problem == name)
    assert entry.halve_every == 100 * epoch
