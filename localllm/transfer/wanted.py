"""What is to be had: a file's address, its size and its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from localllm.transfer.digests import Digest


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file."""

    url: str = field(repr=False)
    """May have a password in it."""

    digest: Digest
    size_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """For the server that `url` names, and no other: a token, say. Names in small letters."""

    @property
    def name(self) -> str:
        return self.url.partition("?")[0].rpartition("/")[2]
