"""What a setting takes, in words: the same in an error, in the written default and in the docs. Pure."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec


def takes(kind: object) -> str:
    """Say in words what a type allows, as in "a whole number from 1 to 65535"."""
    kind, limits = bare(kind)
    described = next((one.description for one in limits if one.description), None)
    if described is not None:
        return described
    origin = get_origin(kind)
    if origin is Literal:
        return any_of([f'"{value}"' for value in get_args(kind)])
    if origin is tuple:
        return f"a list, each of it {takes(get_args(kind)[0])}"
    if kind is bool:
        return "true or false"
    if kind is int or kind is float:
        return _number("a whole number" if kind is int else "a number", limits)
    return "text" if kind is str else "a table"


def bare(kind: object) -> tuple[object, Sequence[msgspec.Meta]]:
    """Take a type out of what limits it, and out of what allows that nothing is said."""
    limits: list[msgspec.Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            inner, *more = get_args(kind)
            limits += [one for one in more if isinstance(one, msgspec.Meta)]
            kind = inner
        elif get_origin(kind) in {Union, types.UnionType}:
            kind = next(one for one in get_args(kind) if one is not types.NoneType)
        else:
            return kind, limits


def struct_of(kind: object) -> type[msgspec.Struct] | None:
    """The table that a type is, if it is one with keys of ours."""
    inner, _ = bare(kind)
    return inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None


def item_of(kind: object) -> object | None:
    """What a list is of; None for what is no list."""
    inner, _ = bare(kind)
    return get_args(inner)[0] if get_origin(inner) is tuple else None


def entry_of(kind: object) -> tuple[object, object] | None:
    """What the names and the values of a table are that has names of the user's own."""
    inner, _ = bare(kind)
    if get_origin(inner) is not Mapping:
        return None
    name, value = get_args(inner)
    return name, value


def example_of(kind: object) -> Any | None:  # noqa: ANN401  # whatever the setting is
    """Give a value that a type's own limits name as an example."""
    _, limits = bare(kind)
    return next((one.examples[0] for one in limits if one.examples), None)


def any_of(words: Sequence[str]) -> str:
    """Join words: a, b or c."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _number(what: str, limits: Sequence[msgspec.Meta]) -> str:
    least = next((one.ge for one in limits if one.ge is not None), None)
    above = next((one.gt for one in limits if one.gt is not None), None)
    most = next((one.le for one in limits if one.le is not None), None)
    if least is not None and most is not None:
        return f"{what} from {least:g} to {most:.0f}"
    low = f" of at least {least:g}" if least is not None else ""
    low = f" over {above:g}" if above is not None else low
    return f"{what}{low}" + ("" if most is None else f", at most {most:.0f}")
