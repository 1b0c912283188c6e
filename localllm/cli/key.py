"""`localllm key`: API keys, made and taken away with or without a daemon."""

from __future__ import annotations

import math
import secrets
import time

import click

from localllm.api.key_file import changing_keys, read_keys, write_keys
from localllm.api.keys import (
    PREFIX,
    SECRET_BYTES,
    Key,
    KeyView,
    hash_of,
    view_of,
    with_key,
    with_new_secret,
    without_key,
)
from localllm.cli.completing import keys as known_keys
from localllm.cli.conventions import here, json_option, print_document, say
from localllm.cli.tables import table
from localllm.units import parse_duration

_MOST_A_MINUTE = 100_000


def _a_time(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if seconds == 0:
        raise click.BadParameter("a key that has expired already is of no use")
    return None if math.isinf(seconds) else seconds


def _names(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    if not names:
        raise click.BadParameter("it names no model; leave it out for all")
    return names


@click.group("key")
def command() -> None:
    """Make and take away API keys.

    They are asked for beyond loopback (`listen` in config.toml), and with auth = "always" on
    loopback too. A running daemon knows of a change at once.
    """


@command.command("create")
@click.argument("name")
@click.option("--expires", callback=_a_time, help="After so long, as in 90d; by default never.")
@click.option("--models", callback=_names, help="Names of models, with commas; by default all.")
@click.option(
    "--rate", type=click.IntRange(1, _MOST_A_MINUTE), help="Requests per minute, at most."
)
@json_option
def create(
    name: str,
    *,
    expires: float | None,
    models: tuple[str, ...] | None,
    rate: int | None,
    as_json: bool,
) -> None:
    """Make a key for NAME: a program or a person. It is shown once; only its hash is kept."""
    secret, now = _new_secret(), time.time()
    key = Key(
        id=secrets.token_hex(4),
        name=name,
        sha256=hash_of(secret),
        created=now,
        expires=None if expires is None else now + expires,
        models=models,
        per_minute=rate,
    )
    file = here().keys_file
    with changing_keys(file) as keys:
        write_keys(file, with_key(keys, key))
    _show_once(view_of(key, now, secret=secret), as_json=as_json)


@command.command("rotate")
@click.argument("name", shell_complete=known_keys)
@json_option
def rotate(name: str, *, as_json: bool) -> None:
    """Give NAME a new key with the same settings; the old one stops working at once."""
    secret, now, file = _new_secret(), time.time(), here().keys_file
    with changing_keys(file) as keys:
        changed = with_new_secret(keys, name, hash_of(secret), now)
        write_keys(file, changed)
    key = next(key for key in changed if key.name == name)
    _show_once(view_of(key, now, secret=secret), as_json=as_json)


@command.command("rm")
@click.argument("name", shell_complete=known_keys)
@json_option
def remove(name: str, *, as_json: bool) -> None:
    """Take NAME's key away; it stops working at once."""
    file = here().keys_file
    with changing_keys(file) as keys:
        write_keys(file, without_key(keys, name))
    print_document({"name": name}, [f"the key {name} is no key any more"], as_json=as_json)


@command.command("ls")
@json_option
def list_keys(*, as_json: bool) -> None:
    """Show the keys; what they are nobody knows but who has them."""
    now = time.time()
    views = [view_of(key, now) for key in read_keys(here().keys_file)]
    print_document(views, _lines(views), as_json=as_json)


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _show_once(view: KeyView, *, as_json: bool) -> None:
    print_document(view, [str(view.key)], as_json=as_json)
    say(f"this is the key of {view.name}; it is not kept, and not shown again")


def _lines(views: list[KeyView]) -> list[str]:
    if not views:
        return ["there are no keys; localllm key create NAME makes one"]
    head = ["name", "id", "created", "expires", "models", "a minute"]
    return table([head, *map(_line, views)])


def _line(view: KeyView) -> list[str]:
    until = "never" if view.expires is None else _day(view.expires)
    return [
        view.name,
        view.id,
        _day(view.created),
        f"expired {until}" if view.expired else until,
        "all" if view.models is None else ", ".join(view.models),
        "-" if view.per_minute is None else str(view.per_minute),
    ]


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
