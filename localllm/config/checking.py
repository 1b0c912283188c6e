"""Finds every mistake in what is written in config.toml, and names what was most likely meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

import msgspec

from localllm.config.locating import Path, Place, Places
from localllm.config.settings import Settings
from localllm.config.takes import bare, entry_of, item_of, struct_of, takes
from localllm.config.tree import REFUSED, all_settings, key_of

_SHOWN = 60
_BITS = 64
"""Of whole numbers in TOML, the sign included."""

_PRIVATE = frozenset({"remote", "engine_mirror"})
"""What is said there is not repeated: an address may have a password in it."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that cannot stay as it is."""

    path: Path
    what: str
    """A sentence without its full stop."""

    step: str | None = None
    """What mends it there; None leaves it to the reader."""

    place: Place | None = None


def find_mistakes(written: Mapping[str, Any], places: Places | None = None) -> Sequence[Mistake]:
    """Check all that is written, in the order in which it stands."""
    where = places or Places()
    found = _in_table(written, Settings, (), where)
    return sorted(found, key=lambda one: (0, 0) if one.place is None else _order(one.place))


def _order(place: Place) -> tuple[int, int]:
    return place.line, place.column


def _in_table(
    written: object, table: type[msgspec.Struct], path: Path, places: Places
) -> Iterator[Mistake]:
    if not isinstance(written, Mapping):
        yield _wrong(written, table, path, places)
        return
    fields = {field.name: field for field in msgspec.structs.fields(table)}
    found = [_unknown(name, table, path, places) for name in written if name not in fields]
    for name, field in fields.items():
        if name in written:
            found += _in_value(written[name], field.type, (*path, name), places)
        elif field.required and not any(_is_meant(name, other, fields) for other in written):
            what = f"{key_of(path)} has no {name}, which it needs"
            found.append(Mistake(path, what, f"write {name}", places.of_key(path)))
    yield from found or _against_its_rules(written, table, path, places)


def _is_meant(name: str, written: str, fields: Collection[str]) -> bool:
    """Whether an unknown key was most likely meant to be this one."""
    return written not in fields and get_close_matches(written, fields, n=1) == [name]


def _in_value(written: object, kind: object, path: Path, places: Places) -> Iterator[Mistake]:
    table, item, entry = struct_of(kind), item_of(kind), entry_of(kind)
    if table is not None:
        yield from _in_table(written, table, path, places)
    elif entry is not None and isinstance(written, Mapping):
        yield from _in_entries(written, entry, path, places)
    elif item is not None and isinstance(written, list):
        for number, one in enumerate(written):
            yield from _in_value(one, item, (*path, number), places)
    elif not is_allowed(written, kind):
        yield _wrong(written, kind, path, places)


def _in_entries(
    written: Mapping[str, Any], entry: tuple[object, object], path: Path, places: Places
) -> Iterator[Mistake]:
    names, values = entry
    for name, value in written.items():
        here = (*path, name)
        if not is_allowed(name, names):
            what = f"{name!r} is no name for {key_of(path)}, which takes {takes(names)}"
            yield Mistake(here, what, place=places.of_key(here))
        yield from _in_value(value, values, here, places)


def is_allowed(written: object, kind: object) -> bool:
    """Tell whether a value is one that a type takes."""
    if _is_endless(written):
        return False
    try:
        msgspec.convert(written, kind)
    except msgspec.ValidationError:
        return False
    return True


def _against_its_rules(
    written: Mapping[str, Any], table: type[msgspec.Struct], path: Path, places: Places
) -> Iterator[Mistake]:
    """Look at what a table's keys mean together, once each is right by itself."""
    try:
        msgspec.convert(written, table)
    except msgspec.ValidationError as error:
        what = str(error.__cause__ or error)  # our own words, without what msgspec puts behind them
        words = what.replace(":", " ").replace(",", " ").split()
        named = next((word for word in words if word in written), None)
        here = path if named is None else (*path, named)
        yield Mistake(here, what, place=places.of_value(here))


def _unknown(name: str, table: type[msgspec.Struct], path: Path, places: Places) -> Mistake:
    here = (*path, name)
    step = _meant(name, table, path)
    return Mistake(here, f"there is no setting {key_of(here)}", step, places.of_key(here))


def _meant(name: str, table: type[msgspec.Struct], path: Path) -> str | None:
    """Find the setting that is called most like it here, or so elsewhere."""
    here = [f for f in table.__struct_fields__ if (*path, f) != REFUSED]
    if near := get_close_matches(name, here, n=1):
        return f"write {near[0]} instead of {name}"
    elsewhere = next((s for s in all_settings() if s.name == name and s.is_of_all), None)
    if elsewhere is None:
        return None
    above = key_of(elsewhere.path[:-1])
    return f"put {name} under [{above}]" if above else f"put {name} above all tables"


def _wrong(written: object, kind: object, path: Path, places: Places) -> Mistake:
    said = "something else" if path[0] in _PRIVATE else _shown(written)
    what = f"{key_of(path)} is {said}, and takes {takes(kind)}"
    return Mistake(path, what, _nearest(written, kind), places.of_value(path))


def _nearest(written: object, kind: object) -> str | None:
    """Find the word that was most likely meant, where only a few are allowed."""
    inner, _ = bare(kind)
    if get_origin(inner) is not Literal or not isinstance(written, str):
        return None
    near = get_close_matches(written, [str(word) for word in get_args(inner)], n=1)
    return f'write "{near[0]}" instead of "{written}"' if near else None


def _is_endless(written: object) -> bool:
    """Whether it is a number that TOML does not have, though Python's reader takes it."""
    return isinstance(written, int) and written.bit_length() >= _BITS


def _shown(written: object) -> str:
    match written:
        case int() if _is_endless(written):
            return "a number of too many digits"
        case bool():
            return "true" if written else "false"
        case str():
            return f'"{written[:_SHOWN]}"'
        case list():
            return "a list"
        case Mapping():
            return "a table"
        case _:
            return str(written)
