"""Small organic molecules: eleven properties of their ground state from the places of their atoms."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task
from tasks.errors import TaskError
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays, InMemoryProblem
from tasks.locations import Locations
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.base import Session
    from tasks.models import MultiTaskNet

ATOMS = 29
"""Of the largest molecule; smaller ones are padded with atomic number 0."""
NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
HARTREE = 27.2114
"""Electronvolts."""
REFERENCES = {
    "u0": (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
    "u": (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
    "h": (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
    "g": (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
}
"""Energies in Hartree of the free atoms H, C, N, O, F, as published beside the set (figshare 1057643)."""
PROPERTIES = ("mu", "alpha", "homo", "lumo", "r2", "zpve", "u0", "u", "h", "g", "cv")
UNITS = ("debye", "cubic bohr", "meV", "meV", "square bohr", "meV", "meV", "meV", "meV", "meV", "cal/(mol K)")
_LINE = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
"""The second line of an original file, after its tag, index and three rotational constants."""
_NAME = re.compile(r"dsgdb9nsd_\d+\.xyz")
ARCHIVE = "dsgdb9nsd.xyz.tar.bz2"


class Qm9(HubProblem, InMemoryProblem):
    """133,885 molecules of up to 29 atoms, 10,000 of them for validation and 10,000 for test.

    Raw energies are in Hartree: u0, u, h and g become atomisation energies, and all energies meV, as in the published tables. Losses
    are squared errors of standardised targets, as there; the constants come from the training rows (there: from the whole set).
    Metrics are mean absolute errors in the units above. The 3,054 molecules that the authors could not characterise are kept, as in the
    hub's copy; published tables leave them out.
    """

    card = ProblemCard(
        name="qm9",
        version=1,
        summary="133,885 molecules: eleven properties of the ground state by message passing",
        source="QM9 (R. Ramakrishnan, P. Dral, M. Rupp, O. A. von Lilienfeld, Sci. Data 2014), yairschiff/qm9, or the authors' xyz files",
        licence="CC0",
        tasks=tuple(
            Task(name, "regression", f"squared error of the standardised {name}; mae in {unit}", (Metric("mae", low=0.0),))
            for name, unit in zip(PROPERTIES, UNITS, strict=True)
        ),
        model="three rounds of message passing between all atoms (width 64, distances in 32 bumps), a layer of 64, one linear head a task",
        rows=(113_885, 10_000, 10_000),
        steps=20_000,
        batch_size=120,
        learning_rate=1e-3,
    )
    source = Source(
        hub="yairschiff/qm9",
        columns=(
            Column(name="atomic_symbols", type="text", shape=(None,)),
            Column(name="pos", type="float", shape=(None, 3)),
            *(Column(name=name, type="float") for name in PROPERTIES),
        ),
        layout=f"the original {ARCHIVE}, or its dsgdb9nsd_*.xyz files",
        rows=133_885,
        size=180_000_000,
        batch=2048,
    )
    validation_rows = 10_000
    test_rows = 10_000

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        archive = folder / ARCHIVE
        found = [archive] if archive.is_file() else sorted(folder.glob("dsgdb9nsd_*.xyz"))
        return {"train": found} if found else {}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        molecules = _texts(files)
        while piece := list(islice(molecules, self.source.batch)):
            yield _read(piece)

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        inputs = np.zeros((len(rows), ATOMS, 4), np.float32)
        for row, (symbols, places) in enumerate(zip(rows["atomic_symbols"], rows["pos"], strict=True)):
            unknown = next((symbol for symbol in symbols if symbol not in NUMBERS), None)
            if unknown is not None:
                raise TaskError(f"{rows.place(row)}: atom {unknown!r}; expected one of {', '.join(NUMBERS)}")
            if not 0 < len(symbols) == len(places) <= ATOMS:
                raise TaskError(
                    f"{rows.place(row)}: {len(symbols)} symbols and {len(places)} positions; expected as many, from 1 to {ATOMS}"
                )
            inputs[row, : len(symbols), 0] = [NUMBERS[symbol] for symbol in symbols]
            inputs[row, : len(symbols), 1:] = places
        counts = np.stack([(inputs[:, :, 0] == number).sum(axis=1) for number in NUMBERS.values()], axis=1)
        return {"inputs": inputs} | {name: natural(name, rows[name], counts)[:, None].astype(np.float32) for name in PROPERTIES}

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["inputs"], tuple(cached[name] for name in PROPERTIES))

    def network(self) -> MultiTaskNet:
        from tasks.message_passing import message_passing_net

        return message_passing_net(tuple(NUMBERS.values()), width=64, rounds=3, outputs=len(PROPERTIES))

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.message_passing import MoleculeSession

        return MoleculeSession(self, seed, batch_size, device, where)


def natural(name: str, values: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
    """A property ``[N]`` in the units of the published tables; ``counts`` are the atoms ``[N, 5]`` of each element."""
    import numpy as np

    if name in REFERENCES:
        values = values - counts @ np.array(REFERENCES[name])
    return values * HARTREE * 1000 if UNITS[PROPERTIES.index(name)] == "meV" else values


def _texts(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Name and content of every molecule's file, in the order of their numbers.

    Raises:
        TaskError: a truncated archive.
    """
    for path in files:
        if path.name != ARCHIVE:
            yield str(path), _text(path.read_bytes(), str(path))
            continue
        try:
            with tarfile.open(path, "r:bz2") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() and _NAME.fullmatch(Path(member.name).name) else None
                    if file is not None:
                        place = f"{path}, {member.name}"
                        yield place, _text(file.read(), place)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise TaskError(f"{path}: not a whole archive: {error}") from error


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(f"{place}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _read(molecules: Sequence[tuple[str, str]]) -> Rows:
    """The molecules' files: number of atoms; ``gdb``, index and 15 properties; an atom a line; and three lines that are not read."""
    import numpy as np

    symbols, places, properties = [], [], []
    for name, text in molecules:
        try:
            lines = text.splitlines()
            atoms = [line.split() for line in lines[2 : 2 + int(lines[0])]]
            if len(atoms) < int(lines[0]):
                raise ValueError(f"{len(atoms)} of {int(lines[0])} atoms")
            values = list(map(_number, lines[1].split()[5:]))
            properties.append(dict(zip(_LINE, values, strict=True)))
            symbols.append([atom[0] for atom in atoms])
            places.append(np.array([[_number(word) for word in atom[1:4]] for atom in atoms]).reshape(-1, 3))
        except (ValueError, IndexError) as error:
            raise TaskError(f"{name}: not a molecule of QM9: {error}") from error
    named = {key: np.array([one[key] for one in properties]) for key in PROPERTIES}
    return Rows({"atomic_symbols": symbols, "pos": places, **named}, partial(_named, [name for name, _ in molecules]))


def _named(names: Sequence[str], row: int) -> str:
    return names[row]


def _number(word: str) -> float:
    """Some of the files write 6.2*^-5 for 6.2e-5."""
    return float(word.replace("*^", "e"))


PROBLEMS = (Qm9(),)
