"""From the light columns of packed files to evidence: no record is decoded, and nothing is read of what a table does not need.

Checked are the bytes (footer and pages), the specs, the metrics against their legal ranges, and that no tuning run has test metrics. That
an id is its spec's was checked when the file was written, and is again by ``results check`` and wherever a whole record is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from benchmark.evidence import Curve, Light, Read, Series, cost_of
from benchmark.folders import folder, unsafe
from benchmark.packed import LIGHT, BadPack, Shape, spec_text
from benchmark.records import Brief, Cost, Status, TrialSpec
from benchmark.shelf import Damaged, Shelf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.statistics import Floats

_COSTS = ("steps", "backward_passes", "peak_memory", "train", "method_seconds", "evaluation")
_SECONDS = ("train", "method", "evaluation")
STATUSES = frozenset(get_args(Status))


@dataclass(frozen=True)
class _Columns:
    """One group of rows as arrays."""

    ids: bytes
    """20 hexadecimal digits of each are 10 bytes here."""
    seeds: list[int]
    specs: list[str]
    shapes: list[str]
    spec: NDArray[np.int64]
    """[rows] index into ``specs``; so is ``shape`` into ``shapes``."""
    shape: NDArray[np.int64]
    statuses: list[str]
    validation: Floats
    """[rows, metrics], nan where there is none; columns in the order that the row's shape declares. So is ``test``."""
    test: Floats
    lengths: NDArray[np.int64]
    """[rows, 2] metrics of each."""
    loss: Floats
    costs: list[Floats]


def survey(shelf: Shelf, loose: Collection[str], damaged: list[Damaged]) -> Iterator[Light | Series]:
    """All packed records that count beside the loose ones of these ids; what cannot be believed goes to ``damaged``.

    Raises:
        MissingDependency: there are packed files, but pyarrow is not installed.
    """
    packs = shelf.packs(damaged)
    later: set[bytes] = set(map(bytes.fromhex, loose))
    for pack in reversed(packs):
        name = shelf.name(pack)
        for group in pack.groups:
            rows = range(pack.starts[group], pack.starts[group + 1])
            try:
                columns = _columns(pack.read(LIGHT, [group]))
            except BadPack as error:
                damaged.append(Damaged(name, f"rows {rows[0]} to {rows[-1]}: {error}"))
                continue
            bad: dict[int, str] = {}
            yield from _evidence(columns, later, shelf.curve, bad)
            damaged += [Damaged(name, f"row {rows[row]}: {why}") for row, why in bad.items()]
        if pack is not packs[0]:
            try:
                later.update(pack.ids)
            except BadPack:  # said above, group by group
                continue


@dataclass(frozen=True, slots=True)
class Overview:
    """Of a packed trial what ``status`` tells."""

    place: tuple[str, str, str]
    """Suite, problem and folder of the method."""
    brief: Brief


def overviews(shelf: Shelf, wanted: Collection[str] | None = None) -> Iterator[Overview]:
    """Of every packed trial (of these ids) the record that counts; what cannot be read is as good as missing.

    Raises:
        MissingDependency: there are packed files, but pyarrow is not installed.
    """
    names = ("id", "suite", "problem", "method", "status", "steps", "train", "method_seconds", "evaluation")
    seen: set[bytes] = set()
    asked = None if wanted is None else set(map(bytes.fromhex, wanted))
    for pack in reversed(shelf.packs([])):
        for group in pack.groups:
            try:
                rows = pack.read(names, [group]).to_pydict()
            except BadPack:
                continue
            for id_, suite, problem, method, status, steps, *seconds in zip(*rows.values(), strict=True):
                if id_ not in seen and status in STATUSES and (asked is None or id_ in asked):
                    seen.add(id_)
                    cost = None if steps is None else Cost(**dict(zip(_SECONDS, seconds, strict=True)), steps=steps, backward_passes=0)
                    yield Overview((suite, problem, folder(method)), Brief(id_.hex(), status, cost))


def _columns(table: Any) -> _Columns:
    import numpy as np

    n = len(table)
    chunk = {name: table[name].combine_chunks() for name in LIGHT}
    ids = chunk["id"]
    start = 10 * ids.offset
    values = {}
    lengths = np.empty((n, 2), dtype=np.int64)
    for index, name in enumerate(("validation", "test")):
        lists = chunk[name]
        ends = np.asarray(lists.offsets, dtype=np.int64)
        sizes = np.diff(ends)
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        array = np.full((n, int(sizes.max(initial=0))), np.nan)
        array[np.arange(array.shape[1]) < sizes[:, None]] = flat
        values[name], lengths[:, index] = array, sizes
    statuses = chunk["status"].dictionary.to_pylist()
    return _Columns(
        ids=ids.buffers()[1].to_pybytes()[start : start + 10 * n],
        seeds=chunk["seed"].to_numpy().tolist(),
        specs=chunk["spec"].dictionary.to_pylist(),
        shapes=chunk["shape"].dictionary.to_pylist(),
        spec=chunk["spec"].indices.to_numpy(),
        shape=chunk["shape"].indices.to_numpy(),
        statuses=[statuses[code] for code in chunk["status"].indices.to_numpy().tolist()],
        validation=values["validation"],
        test=values["test"],
        lengths=lengths,
        loss=_floats(chunk["loss"]),
        costs=[_floats(chunk[name]) for name in _COSTS],
    )


def _floats(array: Any) -> Floats:
    import numpy as np

    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _evidence(c: _Columns, later: Collection[bytes], read: Read, bad: dict[int, str]) -> Iterator[Light | Series]:
    """One configuration after the other: its tuning records one by one, its evaluation records as a series."""
    import numpy as np

    n = len(c.seeds)
    if n == 0:
        return
    shapes = [_shape(text) for text in c.shapes]
    kept = _believed(c, shapes, bad)
    if later:
        kept &= np.array([c.ids[10 * row : 10 * row + 10] not in later for row in range(n)])
    changes = np.flatnonzero((np.diff(c.spec) != 0) | (np.diff(c.shape) != 0)) + 1
    bounds = [0, *changes.tolist(), n]
    specs: dict[int, TrialSpec | str] = {}
    all_kept = bool(kept.all())
    shape_of, spec_of = c.shape.tolist(), c.spec.tolist()
    tested: Any = np.isfinite(c.test).any(axis=1).tolist()
    for start, stop in itertools.pairwise(bounds):
        rows = range(start, stop) if all_kept else (np.flatnonzero(kept[start:stop]) + start).tolist()
        shape, index = shapes[shape_of[start]], spec_of[start]
        if not rows or isinstance(shape, str):
            continue
        if index not in specs:
            specs[index] = _spec(c.specs[index], c.seeds[start])
        spec = specs[index]
        if isinstance(spec, str):
            bad |= dict.fromkeys(rows, spec)
        elif spec.role == "eval":
            yield _series(c, rows, spec, shape, read)
        else:
            part = slice(start, stop)  # of these few only: most rows are of evaluations
            validation, loss, costs = c.validation[part].tolist(), c.loss[part].tolist(), [cost[part].tolist() for cost in c.costs]
            for row in rows:
                at = row - start
                if tested[row]:
                    bad[row] = "a tuning run carries test metrics: selection must not see the test split"
                    continue
                yield Light(
                    id=c.ids[10 * row : 10 * row + 10].hex(),
                    spec=spec if spec.seed == c.seeds[row] else msgspec.structs.replace(spec, seed=c.seeds[row]),
                    status=c.statuses[row],  # type: ignore[arg-type]
                    tasks=shape.tasks,
                    trained=shape.trained,
                    metrics=shape.metrics,
                    environment=shape.environment,
                    validation={key: value for key, value in zip(shape.metrics, validation[at], strict=False) if value == value},
                    test={},
                    cost=cost_of(*(cost[at] for cost in costs)),
                    loss=None if loss[at] != loss[at] else loss[at],
                    curve=Curve(read, c.ids[10 * row : 10 * row + 10]),
                )


def _believed(c: _Columns, shapes: Sequence[Shape | str], bad: dict[int, str]) -> NDArray[np.bool_]:
    """[rows] whether what a row says can be; what cannot is reported."""
    import numpy as np

    width = max(c.validation.shape[1], c.test.shape[1])
    low, high = np.full((len(shapes), width), -np.inf), np.full((len(shapes), width), np.inf)
    sizes = np.full(len(shapes), -1)
    for index, shape in enumerate(shapes):
        if isinstance(shape, Shape):
            sizes[index] = len(shape.metrics)
            for column, info in enumerate(list(shape.metrics.values())[:width]):
                low[index, column] = -np.inf if info.low is None else info.low
                high[index, column] = np.inf if info.high is None else info.high
    fits = (c.lengths == sizes[c.shape][:, None]).all(axis=1)
    legal = np.ones(len(fits), dtype=np.bool_)
    for values in (c.validation, c.test):
        w = values.shape[1]
        legal &= (np.isnan(values) | ((low[c.shape, :w] <= values) & (values <= high[c.shape, :w]))).all(axis=1)
    known = np.array([status in STATUSES for status in c.statuses])
    for row in np.flatnonzero(~(fits & legal & known)).tolist():
        shape = shapes[c.shape[row]]
        if isinstance(shape, str):
            bad[row] = shape
        elif not known[row]:
            bad[row] = f"unknown status {c.statuses[row]!r}"
        else:
            bad[row] = "a metric is outside its legal range" if fits[row] else "its metrics are not those that it declares"
    return np.asarray(fits & legal & known)


def _shape(text: str) -> Shape | str:
    """Or why it is none."""
    try:
        return msgspec.json.decode(text, type=Shape)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"not a record: {error}"


def _spec(text: str, seed: int) -> TrialSpec | str:
    """Or why it is none, or none that has a place."""
    try:
        spec = msgspec.json.decode(spec_text(text, seed), type=TrialSpec)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"not a record: {error}"
    return unsafe(spec) or spec


def _series(c: _Columns, rows: Sequence[int], spec: TrialSpec, shape: Shape, read: Read) -> Series:
    whole = isinstance(rows, range)
    at: Any = slice(rows[0], rows[-1] + 1) if whole else rows
    raw = c.ids[10 * rows[0] : 10 * rows[-1] + 10] if whole else b"".join(c.ids[10 * row : 10 * row + 10] for row in rows)
    seeds: list[int] = c.seeds[at] if whole else [c.seeds[row] for row in rows]
    statuses: list[Any] = c.statuses[at] if whole else [c.statuses[row] for row in rows]
    steps, passes, memory, train, method, evaluation = (cost[at] for cost in c.costs)
    return Series(
        spec=spec,
        tasks=shape.tasks,
        trained=shape.trained,
        metrics=shape.metrics,
        environment=shape.environment,
        seeds=seeds,
        statuses=statuses,
        test=c.test[at, : len(shape.metrics)],
        steps=steps,
        backward_passes=passes,
        peak_memory=memory,
        train=train,
        method=method,
        evaluation=evaluation,
        raw_ids=raw,
        read=read,
        spec_of=lambda seed: msgspec.structs.replace(spec, seed=seed),
    )
