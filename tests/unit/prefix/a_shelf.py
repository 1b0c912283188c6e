"""A shelf on a real disk, and an engine that writes there."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec

from localllm.prefix.entries import Entry
from localllm.prefix.shelf import Made, Shelf
from tests.unit.prefix.a_prompt import blocks

CHAT = "/v1/chat/completions"
LONG = "abcdefghijklmnopqrstuvwx"


def take_in_text(shelf: Shelf, body: bytes, made: Made) -> Entry | None:
    """Write a request, and take it in."""
    name = shelf.write_text(body)
    return None if name is None else shelf.take_in(name, made, written_bytes=len(body))


class World:
    """A shelf, its folder, its clock and its budget."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_s, self.budget = folder / "prefixes", 1000.0, 1000
        self.shelf = self.another()

    def another(self) -> Shelf:
        """The shelf as another process sees it."""
        return Shelf(self.folder, lambda: self.budget, lambda: self.now_s)

    def save(
        self, letters: str = LONG, data: bytes = b"cache" * 20, **changes: object
    ) -> Entry | None:
        """Do as an engine does, and take in what it has written."""
        name = self.shelf.new_file()
        (self.folder / name).write_bytes(data)
        written = changes.pop("written_bytes", len(data))
        said = {"key": "model", "model": "m", "tokens": 800, **changes}
        made = Made(outline=blocks(letters), **said)  # type: ignore[arg-type]
        return self.shelf.take_in(name, made, written_bytes=written)  # type: ignore[arg-type]

    def saved(self, letters: str = LONG, data: bytes = b"cache" * 20) -> Entry:
        entry = self.save(letters, data)
        assert entry is not None
        return entry

    def saved_text(
        self, letters: str = LONG, body: bytes = b'{"messages":[]}' * 10, **changes: object
    ) -> Entry:
        """Have a request kept."""
        said = {"key": "model", "model": "m", "tokens": 800, "path": CHAT, **changes}
        made = Made(outline=blocks(letters), **said)  # type: ignore[arg-type]
        entry = take_in_text(self.shelf, body, made)
        assert entry is not None
        return entry

    def ids(self) -> set[str]:
        return {entry.id for entry in self.shelf.entries()}

    def names(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()}

    def record(self, entry: Entry) -> Path:
        return self.folder / f"{entry.id}.json"

    def change(self, entry: Entry, **said: object) -> None:
        document = msgspec.json.decode(self.record(entry).read_bytes())
        self.record(entry).write_bytes(msgspec.json.encode({**document, **said}))


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)
