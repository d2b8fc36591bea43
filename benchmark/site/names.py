"""File names for names from anywhere: safe on every system, short, and different for different names."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

LONGEST = 60
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
"""Names that Windows keeps for devices."""


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A file name without its ending for each of these names: lower-case letters, digits and single dashes, never empty.

    Names that would share one, and those that it shortens, carry a hash of the name. The result depends on the set of names alone.
    """
    known = sorted(set(names))
    plain = {name: re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in known}
    shared = Counter(plain.values())
    found = {}
    for name, slug in plain.items():
        clear = slug and shared[slug] == 1 and len(slug) <= LONGEST and not _DEVICES.fullmatch(slug)
        found[name] = slug if clear else f"{slug[:LONGEST]}-{_hash(name)}".strip("-")
    return found


def _hash(name: str) -> str:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=5).hexdigest()
