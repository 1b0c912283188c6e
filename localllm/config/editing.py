"""Changes config.toml for its user: one key at a time, comments and order kept, never to what is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import tomlkit
from tomlkit.items import InlineTable

from localllm.config.leaves import as_toml
from localllm.config.reading import check_text, error_of_file, read_text
from localllm.config.takes import entry_of, item_of, struct_of, takes
from localllm.config.toml_text import toml_of
from localllm.config.tree import EACH, NAME, Setting, all_settings, key_of
from localllm.errors import ConfigError
from localllm.versioned import replace_private

_PART = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[^.]+')
_HEADER = re.compile(r"(?P<off>#?)\[+(?P<name>[^\]]+)\]+")
_FEW = 3


def find_setting(key: str) -> tuple[Setting, tuple[str, ...]]:
    """Find the setting that a key names, as in profiles.coding.context, and its path.

    Raises:
        ConfigError: There is none.
    """
    path = split_key(key)
    for setting in all_settings():
        if _matches(path, setting.path):
            return setting, path
        entry = entry_of(setting.kind)
        if entry is not None and _matches(path[:-1], setting.path) and struct_of(entry[1]) is None:
            return replace(setting, path=path, kind=entry[1], is_table=False), path
    near = get_close_matches(key, [one.key for one in all_settings()], n=_FEW)
    raise ConfigError(
        f"There is no setting {key}.",
        why=f"the nearest are {', '.join(near)}" if near else "none is called like it",
        fix=f"localllm config show {near[0]}" if near else "localllm config show lists them",
    )


def split_key(key: str) -> tuple[str, ...]:
    """Cut a key as people write it into its names; one with a dot in it stands in quotes."""
    return tuple(part.strip("\"'") for part in _PART.findall(key))


def _matches(path: Sequence[str], known: Sequence[str | int]) -> bool:
    """Whether a path leads to a setting; one of a map's own names leads to the map's text."""
    if len(path) != len(known) or EACH in known:
        return False
    return all(theirs in {NAME, ours} for ours, theirs in zip(path, known, strict=True))


def parse_value(setting: Setting, words: Sequence[str]) -> Any:  # noqa: ANN401  # whatever it takes
    """Read what was typed for a setting: text as it is, a list word by word or as TOML has it.

    Raises:
        ConfigError: The setting does not take it.
    """
    text = words[0] if len(words) == 1 else None
    is_list = item_of(setting.kind) is not None
    tried = [_as_toml(text)] if text is not None else []
    tried += [[*words]] if is_list else [text]
    for value in tried:
        try:
            return as_toml(msgspec.convert(value, setting.kind))
        except msgspec.ValidationError:
            continue
    raise ConfigError(
        f"{setting.key} does not take {' '.join(words)[:60]!r}.",
        why=f"it takes {takes(setting.kind)}",
        fix=f"localllm config set {setting.key} VALUE",
    )


def _as_toml(text: str) -> object:
    try:
        return tomllib.loads(f"it = {text}")["it"]
    except (ValueError, RecursionError):
        return text


def with_value(text: str, path: Sequence[str], value: object) -> str:
    """Say a value; where the written default shows the key, in that place.

    Raises:
        ConfigError: The text is no TOML, or says it in a way that cannot be changed here.
    """
    document = _parsed(text)
    wanted = _saying(tomllib.loads(text), path, value)
    for changed in (_in_its_place(text, path, value), _said_in(document, path, value)):
        if changed is not None and _is(changed, wanted):
            return changed
    raise _too_much(path)


def without(text: str, path: Sequence[str]) -> str:
    """Take a key out, with all that it holds; one that is not there changes nothing."""
    document = _parsed(text)
    table: Any = document
    for part in path[:-1]:
        table = table.get(part, {})
        if not isinstance(table, Mapping):
            return text
    if path[-1] not in table:
        return text
    del table[path[-1]]
    return tomlkit.dumps(document)


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (ValueError, RecursionError) as error:  # its own are of the first kind
        raise ConfigError(
            "config.toml is not TOML, so nothing in it is changed.",
            why=str(error),
            fix="localllm config check",
        ) from error


def _saying(written: Mapping[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """Put a value among those that are written."""
    first, *rest = path
    if rest:
        inner = written.get(first, {})
        if not isinstance(inner, Mapping):
            raise _too_much(path)
        value = _saying(inner, rest, value)
    return {**written, first: value}


def _said_in(document: tomlkit.TOMLDocument, path: Sequence[str], value: object) -> str:
    table: Any = document
    for part in path[:-1]:
        if part not in table:
            is_inline = isinstance(table, InlineTable)
            table[part] = tomlkit.inline_table() if is_inline else tomlkit.table()
        table = table[part]
    table[path[-1]] = value
    return tomlkit.dumps(document)


def _is(text: str, wanted: Mapping[str, Any]) -> bool:
    """Whether a text says what it is to say, and nothing else than before beside it."""
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _too_much(path: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"{key_of(tuple(path))} cannot be said without more of the file being changed.",
        why="of how what is around it is written there",
        fix="localllm config edit",
    )


def _in_its_place(text: str, path: Sequence[str], value: object) -> str | None:
    """Put a value where its key stands behind a #; None where there is no such line, or it is said.

    Looks at lines, and may take one of a text of many lines for one.
    """
    table, key, lines = ".".join(path[:-1]), path[-1], text.split("\n")
    here, found = "", None
    for number, line in enumerate(lines):
        if header := _HEADER.match(line):
            here = "?" if header["off"] else header["name"]
        elif here == table and re.match(rf"{re.escape(key)}\s*=", line):
            return None
        elif here == table and line.startswith(f"#{key} = ") and found is None:
            found = number
    if found is None:
        return None
    lines[found] = f"{key} = {toml_of(value)}"
    return "\n".join(lines)


def write_checked(file: Path, text: str) -> None:
    """Replace the file in one step; what stood there stays if the new text is wrong.

    Raises:
        ConfigError: It is; nothing was written.
    """
    checked = check_text(text)
    if checked.mistakes:
        raise error_of_file(file, checked.mistakes)
    write_text(file, text)


def write_text(file: Path, text: str) -> None:
    """Replace a file in one step; where it is a link, what that leads to. Its line ends stay."""
    target = Path(os.path.realpath(file))
    there = target.read_bytes() if target.is_file() else b""
    text = text.replace("\n", "\r\n") if b"\r\n" in there else text
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_private(target, text.encode(), mode=mode)


def change(file: Path, path: Sequence[str], value: object) -> None:
    """Say a value in a file; None takes the key out.

    Raises:
        ConfigError: The file cannot be read, or would be wrong.
    """
    before = read_text(file)
    after = without(before, path) if value is None else with_value(before, path, value)
    if after == before and value is None:
        raise ConfigError(
            f"{key_of(tuple(path))} is not set in {file}.",
            why="there is nothing to take out",
            fix="localllm config show --origin says where each value came from",
        )
    write_checked(file, after)
