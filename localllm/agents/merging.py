"""Brings our values into a text that is somebody else's, and takes them out again. Pure.

Every result is read again and compared with what it should say, so that a library's mistake ends
as an error and not in a user's file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from localllm.agents.edits import (
    ABSENT,
    Edit,
    Found,
    Path,
    Value,
    blocked_at,
    find,
    reach,
    render_step,
    same,
    with_value,
    without,
)
from localllm.agents.errors import Malformed
from localllm.agents.languages import Editor


@dataclass(frozen=True, slots=True)
class Change:
    """What was done at one path, and how to undo it."""

    path: Path
    value: Value
    """What we put there."""

    earlier: Found
    """What was there before localllm ever wrote."""

    reach: int
    """How many steps of the path led to something then; the rest was made."""

    @property
    def is_our_table(self) -> bool:
        """Whether it is a table that was not there, and is ours with all that is in it."""
        return isinstance(self.value, dict) and self.earlier is ABSENT


@dataclass(frozen=True, slots=True)
class Merged:
    """A text with our values in it."""

    text: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A text without our values."""

    text: str
    empty: bool
    """Nothing is left in it."""

    left: tuple[Path, ...]
    """What somebody has changed since, and is theirs now."""


def merge(editor: Editor, text: str, edits: Sequence[Edit], ours: Sequence[Change] = ()) -> Merged:
    """Put values into a text, as few as there must be.

    Args:
        ours: What earlier merges into this text have done. What is no longer wanted of it is
            taken back, and of the rest it is remembered what was there before the first.

    Raises:
        Malformed: The text is not of its language, or has a word where a table has to be.
    """
    wanted = {edit.path for edit in edits}
    gone = [change for change in ours if not any(_under(change.path, path) for path in wanted)]
    text = take_back(editor, text, gone).text if gone else text
    known = {change.path: change for change in ours if change not in gone}
    for edit in edits:
        table = known.get(edit.path)
        if table is not None and table.is_our_table:
            text = _without_stale(editor, text, edit, table.value)
            known[edit.path] = replace(table, value=edit.value)
        for each in _spread(editor.parse(text), edit):
            text, change = _merge_one(editor, text, each, known)
            known |= {} if change is None else {change.path: change}
    return Merged(text, tuple(known.values()))


def _without_stale(editor: Editor, text: str, edit: Edit, before: Value) -> str:
    """Take out of a table of ours what we put there once and want no more."""
    assert isinstance(before, dict), "it is a table"
    new = edit.value if isinstance(edit.value, dict) else {}
    for key, value in before.items():
        path = (*edit.path, key)
        if key in new and isinstance(value, dict):
            text = _without_stale(editor, text, Edit(path, new[key]), value)
        elif key not in new and same(find(editor.parse(text), path), value):
            text = _taken(editor, text, path)
    return text


def _spread(tree: Found, edit: Edit) -> Iterator[Edit]:
    """Turn a table that goes into one that is there into edits of what is in it.

    What is only a default goes nowhere where something is.
    """
    there = find(tree, edit.path)
    if edit.default and there is not ABSENT:
        return
    if not isinstance(edit.value, dict) or not isinstance(there, dict):
        yield edit
        return
    for key, value in edit.value.items():
        yield from _spread(tree, Edit((*edit.path, key), value))


def _merge_one(
    editor: Editor, text: str, edit: Edit, known: Mapping[Path, Change]
) -> tuple[str, Change | None]:
    """Put one value; no change to remember if it is there, or in a table that we made."""
    tree = editor.parse(text)
    there = find(tree, edit.path)
    if same(there, edit.value):
        return text, None
    _refuse_blocked(tree, edit.path)
    wanted = with_value(tree, edit.path, edit.value)
    new = _checked(editor, editor.put(text, edit.path, edit.value), wanted)
    if any(known[path].is_our_table for path in _tables_above(edit.path) if path in known):
        return new, None
    before = known.get(edit.path)
    if before is not None and same(there, before.value):
        return new, replace(before, value=edit.value)
    return new, Change(edit.path, edit.value, there, reach(tree, edit.path))


def _refuse_blocked(tree: Found, path: Path) -> None:
    blocked = blocked_at(tree, path)
    if blocked is not None:
        kind = "table" if isinstance(path[len(blocked)], str) else "list"
        place = ".".join(map(render_step, blocked)) or "the file"
        raise Malformed(
            f"{place} is no {kind}, and {render_step(path[len(blocked)])} goes into one"
        )


def _tables_above(path: Path) -> Iterator[Path]:
    return (path[:depth] for depth in range(1, len(path)))


def take_back(editor: Editor, text: str, changes: Sequence[Change]) -> TakenBack:
    """Take our values out, and put back what they replaced.

    A value that somebody has changed since is left. A table that we made goes whole.

    Raises:
        Malformed: The text is not of its language.
    """
    left: list[Path] = []
    for change in reversed(changes):
        there = find(editor.parse(text), change.path)
        if there is ABSENT:
            continue
        if change.is_our_table or same(there, change.value):
            text = _undone(editor, text, change)
        else:
            left.append(change.path)
    return TakenBack(text, text.strip() in {"", "{}", "[]"}, tuple(left))


def _undone(editor: Editor, text: str, change: Change) -> str:
    if change.earlier is not ABSENT:
        tree = with_value(editor.parse(text), change.path, change.earlier)
        return _checked(editor, editor.put(text, change.path, change.earlier), tree)
    text = _taken(editor, text, change.path)
    for depth in range(len(change.path) - 1, change.reach, -1):
        if find(editor.parse(text), change.path[:depth]) in ({}, []):
            text = _taken(editor, text, change.path[:depth])
    return text


def _taken(editor: Editor, text: str, path: Path) -> str:
    tree = editor.parse(text)
    assert tree is not ABSENT, "the path leads somewhere"
    return _checked(editor, editor.take(text, path), without(tree, path))


def _checked(editor: Editor, text: str, expected: Value) -> str:
    """Read a text again.

    Raises:
        Malformed: It says something else than it should.
    """
    said = editor.parse(text)
    if not same(_full(None if said is ABSENT else said), _full(expected)):
        raise Malformed("it is written in a way that cannot be edited without a loss")
    return text


def _full(value: Value) -> Value:
    """Leave empty tables out: TOML has no place for one whose header was never written."""
    if isinstance(value, dict):
        full = {key: _full(inner) for key, inner in value.items()}
        return {key: inner for key, inner in full.items() if inner not in ({}, [], None)} or None
    return [_full(inner) for inner in value] or None if isinstance(value, list) else value


def _under(path: Path, wanted: Path) -> bool:
    return path[: len(wanted)] == wanted
