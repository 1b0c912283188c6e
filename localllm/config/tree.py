"""All settings that there are, read from the structs that are their schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from localllm.config.settings import Settings
from localllm.config.takes import entry_of, item_of, struct_of

NAME = "NAME"
"""Stands for a name of the user's own."""

EACH = 0
"""Stands for a place in a list."""

REFUSED = ("remote", "key")
"""In the schema only so that it can be said why it is refused: nobody is told of it as a setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of config.toml, or a table of them."""

    path: tuple[str | int, ...]
    """With NAME and EACH where each file has its own."""

    owner: type[msgspec.Struct]
    """Whose field it is."""

    kind: object
    """Its type, as the struct has it."""

    default: object
    """None: it is not set. Of a table, what it is by itself."""

    is_table: bool
    is_required: bool
    """Whether its table is of no use without it."""

    @property
    def key(self) -> str:
        return key_of(self.path)

    @property
    def name(self) -> str:
        return str(self.path[-1])

    @property
    def is_of_all(self) -> bool:
        """Whether there is one of it, not one for each name."""
        return NAME not in self.path and EACH not in self.path


def key_of(path: tuple[str | int, ...]) -> str:
    """Write a path as people do.

    >>> key_of(("profiles", "coding", "lora", 0, "file"))
    'profiles.coding.lora[0].file'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def all_settings() -> Iterator[Setting]:
    """List them in the order in which a file has them: of each table its values, then its tables."""
    yield from _below((), Settings)


def _below(path: tuple[str | int, ...], table: type[msgspec.Struct]) -> Iterator[Setting]:
    tables = list[Setting]()
    for field in msgspec.structs.fields(table):
        default = None if field.default is msgspec.NODEFAULT else field.default
        where, is_table = (*path, field.name), _is_table(field.type)
        one = Setting(where, table, field.type, default, is_table, field.required)
        if is_table:
            tables.append(one)
        elif where != REFUSED:
            yield one
    for one in tables:
        yield one
        yield from _inside(one)


def _is_table(kind: object) -> bool:
    return (
        struct_of(kind) is not None or item_struct(kind) is not None or entry_of(kind) is not None
    )


def _inside(table: Setting) -> Iterator[Setting]:
    own, item, entry = struct_of(table.kind), item_struct(table.kind), entry_of(table.kind)
    value = None if entry is None else struct_of(entry[1])
    if own is not None:
        yield from _below(table.path, own)
    elif item is not None:
        yield from _below((*table.path, EACH), item)
    elif value is not None:
        yield from _below((*table.path, NAME), value)


def item_struct(kind: object) -> type[msgspec.Struct] | None:
    """The table that a list is of, if it is one of tables."""
    item = item_of(kind)
    return None if item is None else struct_of(item)
