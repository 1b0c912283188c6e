"""An architecture's own keys of a header, read leniently: what counts is a number, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

from localllm.formats.header import Header, Value


class Keys:
    """The architecture's own keys, without its name in front."""

    __slots__ = ("_own",)

    def __init__(self, header: Header) -> None:
        prefix = f"{header.architecture}."
        self._own: Mapping[str, Value] = {
            k.removeprefix(prefix): v for k, v in header.metadata.items() if k.startswith(prefix)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def number(self, key: str) -> int:
        """0 where the file has none, or none that counts; the largest of several."""
        found = self._own.get(key, 0)
        if isinstance(found, tuple):
            return max(found, default=0)
        return int(found) if isinstance(found, int | float) and isfinite(found) else 0

    def listed(self, key: str) -> tuple[int, ...] | None:
        found = self._own.get(key)
        return found if isinstance(found, tuple) else None

    def at(self, key: str, layer: int) -> int:
        """A layer's own value of what may differ from layer to layer."""
        found = self.listed(key)
        if found is None:
            return self.number(key)
        return found[layer] if layer < len(found) else 0

    def says_no(self, key: str) -> bool:
        return self._own.get(key) is False
