"""Data files inside installed packages, read without importing those: scikit-learn alone takes a second to import."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import TaskError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def content(name: str) -> tuple[Path, bytes]:
    """Where ``PACKAGE/FILE`` is, and its bytes. The package is one that the caller has required.

    Raises:
        TaskError: the file is not in the installed package.
    """
    path = _path(name)
    try:
        return path, path.read_bytes()
    except OSError as error:
        raise _missing(path, name, error) from error


def numbers(name: str, delimiter: str | None = ",", skip: int = 0) -> NDArray[np.float64]:
    """The rows ``[N, columns]`` of the text file ``PACKAGE/FILE``, compressed or not, after ``skip`` lines; spaces between them for None.

    Raises:
        TaskError: the file is not in the installed package.
    """
    import numpy as np

    path = _path(name)
    try:
        return np.loadtxt(path, delimiter=delimiter, skiprows=skip, ndmin=2)
    except OSError as error:
        raise _missing(path, name, error) from error


def _path(name: str) -> Path:
    package, _, inside = name.partition("/")
    spec = find_spec(package)
    assert spec is not None, "required by the caller"
    assert spec.origin is not None, "a package with a file"
    return Path(spec.origin).parent / inside


def _missing(path: Path, name: str, error: OSError) -> TaskError:
    return TaskError(f"{path}: {error.strerror or error}; expected it in the installed {name.partition('/')[0]} (reinstall it)")
