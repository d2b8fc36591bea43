"""Tiny copies of the sets that do not ship: in exactly the schema of their hub repositories, and in the layouts of their authors."""

from __future__ import annotations

import atexit
import bz2
import csv
import gzip
import io
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from tasks import adult
from tasks.celeba import ATTRIBUTES
from tasks.locations import Locations

Copy = Mapping[str, datasets.Dataset]


def draws(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def encoded(pixels: Any, kind: str = "PNG") -> dict[str, Any]:
    """As the hub stores an image."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def dataset(features: Mapping[str, Any], columns: Mapping[str, Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(dict(columns), features=datasets.Features(dict(features)))


# --- in the hub's schema ------------------------------------------------------------------------------------------------------------------


def credit() -> Copy:
    """The columns of the file, as no hub copy is known."""
    r, n = draws("credit"), 60
    statuses = {f"PAY_{month}": r.integers(-2, 9, n) for month in (0, 2, 3, 4, 5, 6)}
    amounts = {
        f"{kind}_AMT{month}": r.integers(-1000 if kind == "BILL" else 0, 100_000, n) for kind in ("BILL", "PAY") for month in range(1, 7)
    }
    columns = {
        "ID": np.arange(1, n + 1),
        "LIMIT_BAL": 10_000 * r.integers(1, 80, n),
        "SEX": r.integers(1, 3, n),
        "EDUCATION": np.arange(n) % 7,
        "MARRIAGE": np.arange(n) % 4,
        "AGE": r.integers(21, 80, n),
        **statuses,
        **amounts,
        "default.payment.next.month": r.integers(0, 2, n),
    }
    return {"train": dataset(dict.fromkeys(columns, datasets.Value("int64")), columns)}


def adult_census() -> Copy:
    r, n = draws("adult"), 60
    words = {
        "workclass": adult.WORK,
        "education": ("HS-grad", "Bachelors"),
        "marital.status": adult.MARITAL,
        "occupation": adult.OCCUPATIONS,
        "relationship": ("Husband", "Own-child"),
        "race": adult.RACES,
        "sex": ("Female", "Male"),
        "native.country": ("United-States", "Mexico", "?"),
        "income": ("<=50K", ">50K"),
    }
    order = (
        "age", "workclass", "fnlwgt", "education", "education.num", "marital.status", "occupation", "relationship", "race", "sex",
        "capital.gain", "capital.loss", "hours.per.week", "native.country", "income",
    )  # fmt: skip
    columns = {name: [str(word) for word in r.choice(words[name], n)] if name in words else r.integers(1, 17, n) for name in order}
    return {"train": dataset({name: datasets.Value("string" if name in words else "int64") for name in order}, columns)}


def utkface() -> Copy:
    r, n = draws("utkface"), 50
    columns = {
        "image": [encoded(r.integers(0, 256, (70, 70, 3), dtype=np.uint8), "JPEG") for _ in range(n)],
        "age": np.sort(r.integers(1, 117, n)),
        "gender": [str(word) for word in r.choice(["Male", "Female"], n)],
        "ethnicity": [str(word) for word in r.choice(["White", "Black", "Asian", "Indian", "Other"], n)],
    }
    text = datasets.Value("string")
    return {"train": dataset({"image": datasets.Image(), "age": datasets.Value("int64"), "gender": text, "ethnicity": text}, columns)}


def mnist() -> Copy:
    r, made = draws("mnist"), {}
    for split, n in (("train", 60), ("test", 20)):
        images = r.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(digit) for digit in range(10)])}
        made[split] = dataset(features, {"image": [encoded(image) for image in images], "label": np.arange(n) % 10})
    return made


def qm9() -> Copy:
    r, n = draws("qm9"), 50
    sizes = r.integers(1, 30, n)
    numbers = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
    real = datasets.Value("float64")
    columns = {
        "num_atoms": sizes,
        "atomic_symbols": [[str(symbol) for symbol in r.choice(["H", "C", "N", "O", "F"], size)] for size in sizes],
        "pos": [r.normal(0, 2, (size, 3)).round(6).tolist() for size in sizes],
        "charges": [r.normal(0, 0.1, size).round(6).tolist() for size in sizes],
        "smiles": ["C"] * n,
        **{name: r.normal(1, 1, n).round(6) for name in numbers},
    }
    features = {
        "num_atoms": datasets.Value("int64"),
        "atomic_symbols": datasets.Sequence(datasets.Value("string")),
        "pos": datasets.Sequence(datasets.Sequence(real)),
        "charges": datasets.Sequence(real),
        "smiles": datasets.Value("string"),
        **dict.fromkeys(numbers, real),
    }
    return {"train": dataset(features, columns)}


def celeba() -> Copy:
    r, made = draws("celeba"), {}
    features = {"image": datasets.Image(), "celeb_id": datasets.Value("int64"), **dict.fromkeys(ATTRIBUTES, datasets.Value("bool"))}
    for split, n in (("train", 20), ("valid", 6), ("test", 6)):
        images = [encoded(r.integers(0, 256, (218, 178, 3), dtype=np.uint8)) for _ in range(n)]
        attributes = {name: r.random(n) < 0.5 for name in ATTRIBUTES}
        made[split] = dataset(features, {"image": images, "celeb_id": np.arange(n), **attributes})
    return made


COPIES: dict[str, Callable[[], Copy]] = {
    "credit": credit,
    "adult": adult_census,
    "utkface": utkface,
    "multimnist": mnist,
    "qm9": qm9,
    "celeba": celeba,
}


def as_parquet(folder: Path, data: Copy) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in data.items():
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def as_folder(folder: Path, data: Copy) -> Path:
    datasets.DatasetDict(data).save_to_disk(folder)
    return folder


@lru_cache(maxsize=1)
def where() -> Locations:
    """All copies in one folder, and a cache beside it; gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="lossbench-copies-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for name, copy in COPIES.items():
        as_parquet(folder / "data" / name, copy())
    if shown:
        datasets.enable_progress_bars()
    return Locations(str(folder / "data"), str(folder / "cache"), offline=True)


# --- as their authors give them out -------------------------------------------------------------------------------------------------------


def raw(data: datasets.Dataset, column: str) -> list[bytes]:
    """The files of a column of images."""
    return [one["bytes"] for one in data.cast_column(column, datasets.Image(decode=False))[column]]


def csv_file(path: Path, data: Copy, blank: str = "") -> None:
    rows = data["train"].to_dict()
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        out.writerow(rows)
        out.writerows([blank + value if isinstance(value, str) else value for value in row] for row in zip(*rows.values(), strict=True))


def credit_file(folder: Path, data: Copy) -> None:
    csv_file(folder / "default_of_credit.csv", data)


def adult_file(folder: Path, data: Copy) -> None:
    csv_file(folder / "adult.csv", data, blank=" ")


def utkface_files(folder: Path, data: Copy) -> None:
    """In the order of the rows: the date grows."""
    groups, rows = ("White", "Black", "Asian", "Indian", "Other"), data["train"]
    files = zip(raw(rows, "image"), rows["age"], rows["gender"], rows["ethnicity"], strict=True)
    (folder / "UTKFace").mkdir()
    for row, (image, age, gender, group) in enumerate(files):
        name = f"{age}_{int(gender == 'Female')}_{groups.index(group)}_2017010{row // 10}{row:04}.jpg.chip.jpg"
        (folder / "UTKFace" / name).write_bytes(image)
    for damaged in ("39_1_20170116174525125.jpg.chip.jpg", "24_0_1_20170116220224657 .jpg", "55_0_0_20170116232725357jpg.chip.jpg"):
        (folder / "UTKFace" / damaged).write_bytes(b"")


def mnist_files(folder: Path, data: Copy) -> None:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        if split in data:
            images = np.stack([np.asarray(image) for image in data[split]["image"]])
            write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.array(data[split]["label"]))


def write_idx(path: Path, values: Any) -> None:
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))


def qm9_texts(data: Copy) -> dict[str, bytes]:
    texts = {}
    for number, row in enumerate(data["train"], start=1):
        named = [row[name] for name in ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")]
        atoms = zip(row["atomic_symbols"], row["pos"], row["charges"], strict=True)
        lines = [
            str(row["num_atoms"]),
            f"gdb {number}\t" + "\t".join(map(repr, named)) + "\t",
            *("\t".join([symbol, *(f"{x:.6f}" if x else "0.*^-6" for x in place), f"{charge:.6f}"]) for symbol, place, charge in atoms),
            "1341.307\t1341.3284",
            "C\tC\t",
            "InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4",
        ]
        texts[f"dsgdb9nsd_{number:06}.xyz"] = "\n".join(lines).encode()
    return texts


def qm9_files(folder: Path, data: Copy) -> None:
    for name, text in qm9_texts(data).items():
        (folder / name).write_bytes(text)


def qm9_archive(folder: Path, data: Copy) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, text in qm9_texts(data).items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    (folder / "dsgdb9nsd.xyz.tar.bz2").write_bytes(bz2.compress(file.getvalue()))


ORIGINALS: dict[str, tuple[str, Callable[[Path, Copy], None]]] = {
    "credit.csv": ("credit", credit_file),
    "adult.csv": ("adult", adult_file),
    "utkface folder": ("utkface", utkface_files),
    "mnist idx": ("multimnist", mnist_files),
    "qm9 xyz": ("qm9", qm9_files),
    "qm9 archive": ("qm9", qm9_archive),
}
