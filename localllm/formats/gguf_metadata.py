"""A GGUF file's keys: what they hold, and which of it can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from localllm.formats.gguf_cursor import (
    KEY_STEPS,
    MAX_NAME_BYTES,
    Cursor,
    Listing,
    Scalar,
    bad,
    shown,
)
from localllm.formats.header import Value

MAX_KEYS = 16_384
MAX_NUMBER = (1 << 32) - 1
"""llama.cpp holds hyper-parameters in 32 bits."""

MAX_ARCHITECTURE = 64
DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class Metadata:
    """The file's keys; a number is taken only where the file holds a whole, positive one."""

    values: Mapping[str, Scalar | Listing]
    architecture: str
    """Empty where the file does not say, as in all parts of a split file but the first."""

    def plain(self) -> dict[str, Value]:
        """Scalars, and lists of numbers that are short enough to be one per layer.

        Raises:
            BadModelFile: One of the architecture's numbers is infinite, or none.
        """
        found: dict[str, Value] = {}
        for key, value in self.values.items():
            if isinstance(value, Listing):
                if value.numbers is not None:
                    found[key] = value.numbers
                continue
            if isinstance(value, float) and not isfinite(value) and self._owns(key):
                raise bad(f"{shown(key)} is {value}")
            found[key] = value
        return found

    def _owns(self, key: str) -> bool:
        return key.startswith(f"{self.architecture}.")

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str) -> bool:
        return self.values.get(key) is True

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """The key's value, or one value per layer; None where the file does not say."""
        value = self.values.get(f"{self.architecture}.{key}")
        if value is None:
            return None
        found = value.numbers if isinstance(value, Listing) else (value,)
        if not found or not all(type(each) is int and 0 <= each <= MAX_NUMBER for each in found):
            raise bad(f"{self.architecture}.{key} is not a whole number of 32 bits")
        return tuple(int(each) for each in found)

    def number(self, key: str) -> int | None:
        """As `numbers`; the largest where the file has one per layer."""
        found = self.numbers(key)
        if found is None:
            return None
        if max(found) == 0:
            raise bad(f"{self.architecture}.{key} is 0")
        return max(found)

    def required(self, key: str) -> int:
        found = self.number(key)
        if found is None:
            raise bad(f"it has no {self.architecture}.{key}")
        return found

    def alignment(self) -> int:
        """Bytes that each tensor's place is a multiple of."""
        found = self.values.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(found) is not int or found < 1 or found & (found - 1):
            raise bad(f"its alignment is {shown(str(found))}, not a power of 2")
        return found


def read_metadata(cursor: Cursor, count: int) -> Metadata:
    """Read `count` keys and their values.

    Raises:
        BadModelFile: A key is there twice, or a value is what no file may hold.
        HeaderIncomplete: The bytes end first.
    """
    if count > MAX_KEYS:
        raise bad(f"{count} keys, where {MAX_KEYS} are allowed")
    values: dict[str, Scalar | Listing] = {}
    for _ in range(count):
        cursor.spend(KEY_STEPS)
        key = cursor.text(MAX_NAME_BYTES)
        if not key or key in values:
            raise bad(f"{shown(key)} is there twice" if key else "a key without a name")
        values[key] = cursor.value()
    architecture = values.get("general.architecture", "")
    if not isinstance(architecture, str) or len(architecture) > MAX_ARCHITECTURE:
        raise bad("its architecture is not a name")
    return Metadata(values, architecture)
