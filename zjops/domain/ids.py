"""Identifiers: UUIDs, job ids, salts, and the one source of randomness that is handed to services."""

from __future__ import annotations

import hashlib
import random
import secrets
import uuid
from collections import deque
from typing import Protocol

from zjops.domain.clock import Clock

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_PAIR_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_WORD = 58**8
JOB_PREFIX = "job_"
NAMES_MOST = 16_384
"""How many ids of jobs are remembered."""
CHUNK_BYTES = 32
POOL_BYTES = 256 * CHUNK_BYTES


class Ids(Protocol):
    """Where new identifiers and salts come from, so that a seed gives the same run again."""

    def uuid(self) -> uuid.UUID:
        """A fresh UUID, version 7 (RFC 9562), so that a store's index grows at its end."""
        ...

    def key(self) -> bytes:
        """A fresh UUID as its 16 bytes."""
        ...

    def name(self) -> str:
        """A fresh UUID as text, in RFC 9562's form."""
        ...

    def token(self, size: int) -> bytes:
        """`size` bytes that nobody can guess (with a seed: that only the seed's holder can)."""
        ...

    def chance(self) -> float:
        """A number in [0, 1), for jitter and simulated failures."""
        ...


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class _Made:
    """The three forms of a fresh UUID; a job needs three of them, and a `uuid.UUID` costs more than its digits."""

    _clock: Clock
    _at_ms = -1
    _moment = ""

    def token(self, size: int) -> bytes:
        raise NotImplementedError

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(self.name())

    def key(self) -> bytes:
        return bytes.fromhex(self.name().replace("-", ""))

    def name(self) -> str:
        now = self._clock.now_ms()
        if now != self._at_ms:
            moment = f"{now:012x}"
            self._at_ms, self._moment = now, f"{moment[:8]}-{moment[8:]}-7"
        noise = self.token(10).hex()
        # 48 bits of time, the version, 12 random bits, two bits of variant, 62 random bits.
        return f"{self._moment}{noise[1:4]}-{_VARIANT[noise[4]]}{noise[5:8]}-{noise[8:]}"


class SystemIds(_Made):
    """Randomness of the operating system."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool: deque[bytes] = deque()

    def token(self, size: int) -> bytes:
        """Bytes of the operating system, fetched many at a time; none is given twice, in whatever thread."""
        if size > CHUNK_BYTES:
            return secrets.token_bytes(size)
        try:
            return self._pool.popleft()[:size]
        except IndexError:
            noise = secrets.token_bytes(POOL_BYTES)
            self._pool.extend([noise[at : at + CHUNK_BYTES] for at in range(0, POOL_BYTES, CHUNK_BYTES)])
            return self.token(size)

    def chance(self) -> float:
        return random.random()  # noqa: S311 - jitter, not a secret


class SeededIds(_Made):
    """The same identifiers again for the same seed and the same order of questions."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - reproducibility is the point

    def token(self, size: int) -> bytes:
        # What `randbytes` does, without the way there: a job needs half a dozen of them.
        return self._random.getrandbits(8 * size).to_bytes(size, "little")

    def chance(self) -> float:
        return self._random.random()


def base58(data: bytes) -> str:
    """Base58 with the Bitcoin alphabet; each leading zero byte becomes a `1`."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        # Eight letters fit a machine word, in which the rest is quicker than in a long integer.
        number, word = divmod(number, _WORD)
        high, low = divmod(word, 11_316_496)
        text = f"{_PAIRS[high // 3364]}{_PAIRS[high % 3364]}{_PAIRS[low // 3364]}{_PAIRS[low % 3364]}{text}"
    text = text.lstrip("1")
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def unbase58(text: str) -> bytes:
    """The inverse of `base58`. Raises `ValueError` on a letter outside the alphabet."""
    number, padded = 0, text if len(text) % 2 == 0 else "1" + text
    try:
        for at in range(0, len(padded), 2):
            number = number * 3364 + _PAIR_VALUES[padded[at : at + 2]]
    except KeyError as exc:
        raise ValueError(f"{exc.args[0]!r} is not in the base58 alphabet") from exc
    body = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return b"\0" * (len(text) - len(text.lstrip("1"))) + body


_names: dict[bytes, str] = {}
_keys: dict[str, bytes] = {}


def _remember(key: bytes, name: str) -> str:
    """What was worked out one way is known the other way too: a job's id goes to and fro all the time."""
    if len(_names) >= NAMES_MOST:
        _names.clear()
        _keys.clear()
    _names[key], _keys[name] = name, key
    return name


def job_id(key: bytes) -> str:
    """The public id of a job from the 16 bytes of its UUID (R7)."""
    return _names.get(key) or _remember(key, JOB_PREFIX + base58(key))


def job_key(text: str) -> bytes:
    """The 16 bytes of a public job id. Raises `ValueError` when it is not one."""
    known = _keys.get(text)
    if known is not None:
        return known
    if not text.startswith(JOB_PREFIX) or len(text) > 30:
        raise ValueError("a job id is job_ and a base58 UUID")
    # Sixteen bytes have one text and no other: whoever reads it needs not write it again to know.
    key = unbase58(text[len(JOB_PREFIX) :])
    if len(key) != 16:
        raise ValueError("a job id is job_ and a base58 UUID")
    _remember(key, text)
    return key


def derived_uuid(namespace: bytes, name: str) -> uuid.UUID:
    """UUIDv5 (RFC 9562): the same namespace and name give the same id."""
    return uuid.uuid5(uuid.UUID(bytes=namespace), name)


def uuid4_text(digits: str) -> str:
    """A UUID version 4 from 32 random hex digits, at a quarter of what a `uuid.UUID` costs (RFC 9562, section 5.4)."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def parse_uuid4(text: str) -> uuid.UUID:
    """A UUID version 4, bare or as a quoted Structured-Field String. Raises `ValueError` otherwise (R23)."""
    bare = text[1:-1] if len(text) == 38 and text[0] == text[-1] == '"' else text
    value = uuid.UUID(bare)
    if len(bare) != 36 or value.version != 4 or value.variant != uuid.RFC_4122:
        raise ValueError("not a UUID version 4")
    return value


def fingerprint(*parts: bytes) -> bytes:
    """SHA-256 over length-prefixed parts, so that no two lists of parts share one input."""
    return hashlib.sha256(b"".join([len(part).to_bytes(8, "big") + part for part in parts])).digest()
