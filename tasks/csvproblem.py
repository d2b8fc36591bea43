"""Problems whose own files are one CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks import csvfile
from tasks.hub import HubProblem
from tasks.rows import Rows


class CsvProblem(HubProblem):
    """A problem over a file with a header, which is called as the source's ``layout``."""

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        path = folder / self.source.layout
        return {"train": [path]} if path.is_file() else {}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        for path in files:
            yield from csvfile.read(path, self.source.columns, self.source.batch)
