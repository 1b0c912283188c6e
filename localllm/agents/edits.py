"""Where in a settings file a value goes, on data alone: what a file holds before and after.

A path leads through tables by key and through lists by an element's own field, since positions
change when others edit the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"


class Nothing(Enum):
    """What is where nothing is; None is a value in JSON and YAML."""

    ABSENT = "absent"


ABSENT: Final = Nothing.ABSENT
Found: TypeAlias = "Value | Nothing"


@dataclass(frozen=True, slots=True)
class Element:
    """The element of a list that is a table whose `key` is `value`."""

    key: str
    value: str


Step: TypeAlias = str | Element
Path: TypeAlias = tuple[Step, ...]
_ELEMENT = re.compile(r"\[(?P<key>[^=\]]+)=(?P<value>.*)\]\Z")


@dataclass(frozen=True, slots=True)
class Edit:
    """A value to be found at a path; one that is a table goes into the table that is there."""

    path: Path
    value: Value
    default: bool = False
    """Only where nothing is."""


def parse_step(text: str) -> Step:
    """Parse `[name=localllm]` into an element, anything else into a key."""
    found = _ELEMENT.match(text)
    return text if found is None else Element(found["key"], found["value"])


def render_step(step: Step) -> str:
    """Undo `parse_step`."""
    return step if isinstance(step, str) else f"[{step.key}={step.value}]"


def find(tree: Found, path: Sequence[Step]) -> Found:
    """Look a path up; ABSENT where it leads nowhere."""
    for step in path:
        tree = child(tree, step)
    return tree


def child(tree: Found, step: Step) -> Found:
    """Look one step up."""
    if isinstance(step, str):
        return tree[step] if isinstance(tree, Mapping) and step in tree else ABSENT
    if not isinstance(tree, list):
        return ABSENT
    at = position(tree, step)
    return ABSENT if at is None else tree[at]


def position(items: Sequence[object], step: Element) -> int | None:
    """Find an element's place; None if there is none."""
    for at, item in enumerate(items):
        if isinstance(item, Mapping) and item.get(step.key) == step.value:
            return at
    return None


def node_at(node: Any, step: Step) -> Any:  # noqa: ANN401  # libraries have a type for each kind
    """Go one step into a library's document, where that step is sure to be there."""
    return node[step] if isinstance(step, str) else node[position(node, step)]


def put_element(items: Any, step: Element, value: Value) -> None:  # noqa: ANN401  # likewise
    """Put an element in the place of the one that it stands for, or at the end."""
    at = position(items, step)
    if at is None:
        items.append(value)
    else:
        items[at] = value


def nested(path: Sequence[Step], value: Value) -> Value:
    """Wrap a value into what a path leads through, for where none of it is there."""
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [value]
    return value


def with_value(tree: Found, path: Sequence[Step], value: Value) -> Value:
    """What a tree is once a value is put at a path; null on the way is as good as nothing."""
    if not path or tree is ABSENT or tree is None:
        return nested(path, value)
    first, *rest = path
    inner = with_value(child(tree, first), rest, value)
    if isinstance(first, str):
        assert isinstance(tree, Mapping), "whoever edits has looked"
        return {**tree, first: inner}
    assert isinstance(tree, list), "whoever edits has looked"
    at = position(tree, first)
    return [*tree, inner] if at is None else [*tree[:at], inner, *tree[at + 1 :]]


def without(tree: Value, path: Sequence[Step]) -> Value:
    """What a tree is once what a path leads to is gone; it is there."""
    first, *rest = path
    if isinstance(first, str):
        assert isinstance(tree, Mapping), "the path leads somewhere"
        if not rest:
            return {k: v for k, v in tree.items() if k != first}
        return {**tree, first: without(tree[first], rest)}
    assert isinstance(tree, list), "the path leads somewhere"
    at = position(tree, first)
    assert at is not None, "the path leads somewhere"
    kept = [without(tree[at], rest)] if rest else []
    return [*tree[:at], *kept, *tree[at + 1 :]]


def blocked_at(tree: Found, path: Sequence[Step]) -> Path | None:
    """Find where a path meets something that it cannot lead through: a word, or the wrong kind."""
    for depth, step in enumerate(path):
        if tree is ABSENT or tree is None:
            return None
        if not isinstance(tree, Mapping if isinstance(step, str) else list):
            return tuple(path[:depth])
        tree = child(tree, step)
    return None


def reach(tree: Found, path: Sequence[Step]) -> int:
    """Count the steps of a path that lead to something."""
    return next((d for d in range(len(path), 0, -1) if find(tree, path[:d]) is not ABSENT), 0)


def same(one: Found, other: Found) -> bool:
    """Whether two values are the same in a file: true is not 1, the order of keys is nothing."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return _canonical(one) == _canonical(other)


def _canonical(value: Value) -> str:
    return json.dumps(value, sort_keys=True, default=str)  # dates, of TOML and YAML
