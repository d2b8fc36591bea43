"""Messages from a confined process: framed, numbered, bounded and signed, over a pipe that anything inside can write to.

The key is made outside for every run. Whoever has found the pipe cannot sign; whoever has searched the interpreter for the key can.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Callable
from hmac import compare_digest

MESSAGE, TRESPASS, NOTE, RAISED, NO_MEMORY, DONE = b"m", b"t", b"n", b"r", b"o", b"d"
KINDS = (MESSAGE, TRESPASS, NOTE, RAISED, NO_MEMORY, DONE)
SIGNATURE = 16
LARGEST = 1 << 26
"""Bytes of a message."""
MOST = 1 << 28
"""Bytes of all messages of a run."""
_HEAD = struct.Struct("<I16sc")


class Garbled(Exception):
    """What arrived was not sent by the sender."""


def key() -> bytes:
    return os.urandom(32)


def _sign(key: bytes, number: int, kind: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<Q", number) + kind + payload, key=key, digest_size=SIGNATURE).digest()


def sender(file: int, key: bytes) -> Callable[[bytes, bytes], None]:
    """``send(kind, payload)`` for the inside; threads may share it. In a forked child, which goes on as if it were its parent, it does
    nothing: there is one report of a run."""
    number = 0
    owner = os.getpid()
    lock = threading.Lock()

    def send(kind: bytes, payload: bytes) -> None:
        nonlocal number
        if os.getpid() != owner:
            return
        with lock:
            rest = memoryview(_HEAD.pack(len(payload), _sign(key, number, kind, payload), kind) + payload)
            number += 1
            while rest:
                rest = rest[os.write(file, rest) :]

    return send


class Receiver:
    """Puts together what arrives."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0
        self._bytes = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The messages that these bytes complete: kind and payload.

        Raises:
            Garbled: a message too large, too many bytes in all, or a wrong signature.
        """
        self._buffer += data
        self._bytes += len(data)
        if self._bytes > MOST:
            raise Garbled(f"more than {MOST >> 20} MiB of messages")
        found = []
        while len(self._buffer) >= _HEAD.size:
            length, signature, kind = _HEAD.unpack_from(self._buffer)
            if length > LARGEST:
                raise Garbled("what is no message on the channel of messages")
            if len(self._buffer) < _HEAD.size + length:
                break
            payload = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            if kind not in KINDS or not compare_digest(signature, _sign(self._key, self._number, kind, payload)):
                raise Garbled("a message that is not signed")
            self._number += 1
            found.append((kind, payload))
        return found
