"""The written default: a config.toml that says nothing, and shows all that it could say.

What is prose has a blank behind its #; what is a setting has none, and counts once its # is gone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from localllm.config.reference import default_of, docs_of, takes_names
from localllm.config.settings import DEFAULT_PORT
from localllm.config.takes import example_of, item_of, takes
from localllm.config.toml_text import toml_of
from localllm.config.tree import EACH, NAME, Setting, all_settings, item_struct

SCHEMA_NAME = "config.schema.json"
_WIDTH = 96
_EXAMPLES = {NAME: ("coding", "fast")}
"""Names in the place of the user's own: of a profile, and of what comes behind its colon."""

_NAMED = {"profiles": _EXAMPLES[NAME][0], "cost.apis": "some-api"}
"""Tables of tables with names of the user's own, and such a name."""

_HEAD = f"""\
#:schema ./{SCHEMA_NAME}

# The settings of localllm. Nothing in this file counts yet: take the # away in front of a setting to
# change it. Lines with a blank behind their # are explanations.
#
#   localllm config check            finds what is wrong here, with line and column
#   localllm config show --origin    says what each setting is, and where it came from
#
# A flag goes over a variable (LOCALLLM_PORT={DEFAULT_PORT}), this over a profile, that over the rest of this
# file, and all of it over what the catalog says of a model. A running daemon reads this file again
# when it has changed.
"""


def render_default() -> str:
    """Write the file."""
    lines = [*_HEAD.splitlines()]
    for setting in all_settings():
        lines += _table(setting) if setting.is_table else _value(setting)
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _value(setting: Setting) -> Iterator[str]:
    default = default_of(setting)
    yield ""
    yield from _prose(docs_of(setting.owner).get(setting.name, ""))
    yield from _prose(f"Takes {takes(setting.kind)}{_unless(setting, default)}")
    yield f"#{setting.name} = {_example(setting, default)}"


def _unless(setting: Setting, default: str) -> str:
    if setting.is_required:
        return "; the table needs it."
    if not default:
        return ". Unset by itself."
    return "." if setting.default else f". By itself {default}."


def _example(setting: Setting, default: str) -> str:
    """What stands behind the sign: the default, or where that is nothing, an example."""
    if default and (setting.default or item_of(setting.kind) is None):
        return default
    found = example_of(setting.kind)
    assert found is not None, f"{setting.key} is unset by itself, and needs an example"
    return toml_of(found)


def _table(setting: Setting) -> Iterator[str]:
    """Write a table's head; one that is there by itself counts, as nothing is in it."""
    if setting.key in _NAMED:
        yield from _head(setting, f"{setting.key}.{_NAMED[setting.key]}", counts=False)
        return
    is_list, names = item_struct(setting.kind) is not None, takes_names(setting)
    if setting.path[-1] == "variants":
        yield from _head(setting, f"{_dotted(setting)}.{_EXAMPLES[NAME][1]}", counts=False)
        return
    counts = setting.default is not None and setting.is_of_all
    yield from _head(setting, _dotted(setting), counts=counts, is_list=is_list)
    if names:
        yield '#"their-name" = "our-name"'


def _head(setting: Setting, name: str, *, counts: bool, is_list: bool = False) -> Iterator[str]:
    head = f"[[{name}]]" if is_list else f"[{name}]"
    yield ""
    yield "# " + "-" * (_WIDTH - 2)
    yield from _prose(docs_of(setting.owner).get(setting.name, ""))
    if not counts:
        yield from _prose("To use it, take the # away in front of its name in brackets, too.")
    yield head if counts else f"#{head}"


def _dotted(setting: Setting) -> str:
    """Write a table's name with names for an example in the places of the user's own."""
    names = iter(_EXAMPLES[NAME])
    parts = [part for part in setting.path if part != EACH]
    return ".".join(next(names) if part == NAME else str(part) for part in parts)


def _prose(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]
