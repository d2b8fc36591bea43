"""The system's browser, for the tests of the site. ``python tests/browser.py`` prints where it is, or fails and says what to install."""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",  # tests run as root in containers, where there is no other user to fall back to
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = (
    "no browser for the tests of the site: install Chromium (apt-get install chromium), name one in CHROMIUM, or set "
    "LOSSBENCH_NO_BROWSER=1 to leave them out"
)


def unwanted() -> bool:
    """Whether somebody has said that these tests shall be left out."""
    return os.environ.get("LOSSBENCH_NO_BROWSER", "") not in ("", "0")


def find() -> str | None:
    """The browser's path: that of CHROMIUM, else the first of the usual names that is installed."""
    given = os.environ.get("CHROMIUM")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


if __name__ == "__main__":
    path = find()
    print(path or MISSING)
    sys.exit(path is None)
