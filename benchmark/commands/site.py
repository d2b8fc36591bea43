"""From records to a folder of pages."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tasks
from benchmark import provenance, rerun
from benchmark.commands.leaderboard import Request, choose, warn
from benchmark.errors import UsageError
from benchmark.records import RunRecord
from benchmark.site import write
from benchmark.site.names import slugs
from benchmark.store import Store
from benchmark.table import build
from benchmark.views import printable

PICTURES = ".png", ".svg"
LAST_PORT = 65535


def site(*, suite: str, results: Path, out: Path, pictures: bool, serve: bool, port: int) -> None:
    """Writes the site and prints where its first page is; serves it if asked to.

    Raises:
        UsageError, TaskError: nothing to show, a package is missing, no such port, or the folder is not ours; before anything is written.
    """
    if port > LAST_PORT:
        raise UsageError(f"--port is {port}; expected one up to {LAST_PORT}, or 0 for any that is free")
    tasks.require(["jinja2", "plotly"], "site")
    if pictures:
        tasks.require(["matplotlib"], "site --pictures")
    write.check(out)
    apart(out, results)
    store, request = Store(results), Request(results=results, suite=suite or None)
    scan = store.scan()
    chosen, empty = choose(request, scan)
    warn(scan)
    verdicts, wrong = provenance.read(results)
    for line in [*empty, *(f"skipped {line}" for line in wrong)]:
        print(f"warning: {printable(line)}", file=sys.stderr)
    from benchmark.site import data, pages

    def where(record: RunRecord) -> str:
        path = store.path(record.spec)
        place = path.relative_to(store.root).as_posix()
        return place if path.is_file() else f"packed; results unpack writes {place}"

    boards = []
    for each in chosen:
        table = build(each.records, verdicts=verdicts, damaged=scan.damaged)
        again = [command] if (command := rerun.command(each.records, each.search)) else []
        records = [record for record in each.records if isinstance(record, RunRecord)]  # all: a scan gives no others
        boards.append(data.board(records, replace(table, notes=[*table.notes, *each.notes], rerun=again), each.search, where))
    names = sorted({problem.name for board in boards for problem in board.problems})
    if pictures:
        draw(names, results)
    found = drawn(names, results)
    files = {name: f"{slug}{found[name].suffix}" for name, slug in slugs(names).items() if name in found}
    folders = {f"suites/{folder}/" for folder in slugs(board.suite for board in boards).values()} if len(boards) > 1 else {""}
    copies = {f"{folder}pictures/{file}": found[name] for folder in folders for name, file in files.items()}
    write.write(pages.site(boards, files), out, copies)
    print(out / "index.html")
    if serve:
        from benchmark.site.serve import serve as listen

        listen(out, port, _say)


def apart(out: Path, results: Path) -> None:
    """A site is replaced as a whole, so no record may lie in it; and nothing but records lies among records.

    Raises:
        UsageError: one is in the other.
    """
    site, kept = out.resolve(), [(results / name).resolve() for name in ("records", "packed")]
    if any(folder.is_relative_to(site) or site.is_relative_to(folder) for folder in kept):
        raise UsageError(f"--out {out}: the records of --results {results} lie there; choose a folder apart from them")


def _say(address: str) -> None:
    print(f"{address} (Ctrl-C ends)", flush=True)
    webbrowser.open(address)


def drawn(names: Sequence[str], results: Path) -> dict[str, Path]:
    """The pictures that there are, by problem."""
    found: dict[str, Path] = {}
    for name in names:
        for ending in PICTURES:
            path = results / "pictures" / f"{name}{ending}"
            if "/" not in name and "\\" not in name and path.is_file():
                found.setdefault(name, path)
    return found


def draw(names: Sequence[str], results: Path) -> None:
    """Makes the pictures that are not there yet, of the problems that are installed; what cannot be drawn is said, and left out."""
    from benchmark import plot  # torch

    folder = results / "pictures"
    there = drawn(names, results)
    for name in (each for each in names if each in tasks.problems() and each not in there):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"drawing {name}", file=sys.stderr)
        try:
            plot.plot(
                name, methods="", settings=[], steps=None, seeds=None, device="cpu", out=folder / f"{name}.png", where=tasks.Locations()
            )
        except (UsageError, tasks.TaskError) as error:
            print(f"warning: no picture of {name}: {error}", file=sys.stderr)
