"""Every setting as the documentation and `config` show it. Reads the schema's source for what each does."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from localllm.config.leaves import Effect, effect_of
from localllm.config.takes import entry_of, struct_of, takes
from localllm.config.toml_text import toml_of
from localllm.config.tree import Setting, all_settings, item_struct, key_of
from localllm.config.variables import variable_of

_APPLIES = {
    Effect.LIVE: "counts at once",
    Effect.MODEL: "starts its model anew, and the old one serves until then",
    Effect.DAEMON: "counts once the daemon is started again",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting."""

    table: str
    """That it stands in, as in profiles.NAME; empty at the top of the file."""

    key: str
    """Its own name in the table."""

    takes: str
    """What it takes, in words."""

    default: str
    """As TOML; empty: it is not set."""

    variable: str
    """Of the environment, which goes over the file; empty: there is none."""

    does: str
    applies: str
    """What a change of it takes."""

    @property
    def whole_key(self) -> str:
        return f"{self.table.strip('[]')}.{self.key}" if self.table else self.key


def rows() -> Sequence[Row]:
    """List every setting in the order in which a file has them; tables themselves are none."""
    lists = {one.path for one in all_settings() if item_struct(one.kind) is not None}
    return [_row(one, lists) for one in all_settings() if _is_shown(one)]


def _is_shown(setting: Setting) -> bool:
    """Whether it is a value, or a table with names of the user's own and plain values."""
    return not setting.is_table or takes_names(setting)


def takes_names(setting: Setting) -> bool:
    """Whether it is a table of the user's own names for plain text, as names.map."""
    entry = entry_of(setting.kind)
    return entry is not None and struct_of(entry[1]) is None


def _row(setting: Setting, lists: set[tuple[str | int, ...]]) -> Row:
    above = setting.path[:-1]
    is_in_list = above[:-1] in lists
    table = f"[{key_of(above[:-1])}]" if is_in_list else key_of(above)
    return Row(
        table=table,
        key=setting.name,
        takes="a table of names to names" if takes_names(setting) else takes(setting.kind),
        default=default_of(setting),
        variable=variable_of(setting) or "",
        does=docs_of(setting.owner).get(setting.name, ""),
        applies=_APPLIES[effect_of(setting.path)],
    )


def default_of(setting: Setting) -> str:
    """Write what a setting is unless it is said, as TOML; empty where it is not set."""
    if setting.default is None or setting.is_table:
        return ""
    return toml_of(setting.default)


def docs_of(table: type[msgspec.Struct]) -> Mapping[str, str]:
    """Read what stands below each field of a struct, and of those that it is made of."""
    found: dict[str, str] = {}
    for kind in reversed(table.__mro__):
        if kind is not msgspec.Struct and issubclass(kind, msgspec.Struct):
            found.update(_own(kind))
    return found


def _own(table: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    (body,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(body, ast.ClassDef), "a struct is a class"
    for field, after in zip(body.body, body.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                yield name, " ".join(text.split())
            case _:
                continue
