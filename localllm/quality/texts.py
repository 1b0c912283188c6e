"""The bundled texts that models are examined with."""

from __future__ import annotations

from pathlib import Path

import msgspec

FOLDER, FILE = "quality", "texts.toml"


class Passage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that is scored token by token."""

    name: str
    kind: str
    """english, german, code, data."""

    quick: bool
    """Whether the quick check reads it, too."""

    lead: str
    """Comes before it, and is not scored."""

    text: str

    @property
    def size_bytes(self) -> int:
        """Of what is scored, in UTF-8: the same for every tokenizer."""
        return len(self.text.encode())


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the file has them."""

    version: int
    tokenizer: str
    passages: tuple[Passage, ...]

    def for_check(self, *, quick: bool) -> tuple[Passage, ...]:
        """Choose those that a check reads."""
        return tuple(one for one in self.passages if one.quick or not quick)


def read_texts(profiles: Path) -> Texts:
    """Read what we ship; a broken one is a bug of ours."""
    return msgspec.toml.decode((profiles / FOLDER / FILE).read_bytes(), type=Texts)
