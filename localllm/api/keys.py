"""API keys: what is known of one, and how a list of them changes. Pure.

Of a key only its SHA-256 is kept. A plain hash is right here: a key is 256 random bits, so there
is nothing to guess that a slow hash would have to protect, as it does for passwords.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

import msgspec

from localllm.errors import BadKeyName, NoSuchKey

PREFIX = "sk-local-"
"""What every key starts with, so that people and secret scanners know what they look at."""

SECRET_BYTES = 32
LOCAL = "local"
"""Who needs no key; no key may be called so."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key, without its secret."""

    id: str
    name: str
    sha256: str
    """Of the whole key, in hexadecimal."""

    created: float
    """Unix seconds: when this secret was made."""

    expires: float | None
    """Unix seconds; None is never."""

    models: tuple[str, ...] | None
    """Names and ids that it may ask for; None is all."""

    per_minute: int | None
    """Requests; None is as many as it likes."""

    def is_valid(self, now: float) -> bool:
        return self.expires is None or now < self.expires


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """One key, as it is shown."""

    id: str
    name: str
    created: float
    expires: float | None
    expired: bool
    models: tuple[str, ...] | None
    per_minute: int | None
    key: str | None = None
    """The key itself; only where it was made just now."""


def hash_of(secret: str) -> str:
    """Make what is kept of a key; whatever a client sends has one, too."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def find_key(keys: Sequence[Key], secret: str) -> Key | None:
    """Find the key that this is, expired or not; None if it is none.

    Every key is compared, and each in constant time: how long it takes tells nothing.
    """
    given, found = hash_of(secret), None
    for key in keys:
        if hmac.compare_digest(given, key.sha256):
            found = key
    return found


def with_key(keys: Sequence[Key], new: Key) -> tuple[Key, ...]:
    """Add a key.

    Raises:
        BadKeyName: Its name is taken, or is none.
    """
    if _NAME.match(new.name) is None or new.name == LOCAL:
        raise BadKeyName(
            f"A key cannot be called {new.name[:80]!r}.",
            why=f"a name is up to 64 letters, digits, dots, dashes and underscores, and not {LOCAL}",
            fix="give it the name of the program or person that will use it",
        )
    if any(key.name == new.name for key in keys):
        raise BadKeyName(
            f"There is a key {new.name!r} already.",
            why="a name says whose requests they are, so it is given once",
            fix=f"localllm key rotate {new.name} for a new secret, or another name",
        )
    return (*keys, new)


def without_key(keys: Sequence[Key], name: str) -> tuple[Key, ...]:
    """Take a key away.

    Raises:
        NoSuchKey: There is none of this name.
    """
    gone = _require(keys, name)
    return tuple(key for key in keys if key is not gone)


def with_new_secret(keys: Sequence[Key], name: str, sha256: str, now: float) -> tuple[Key, ...]:
    """Give a key another secret. It lives as long as the old one was made to live, from now on.

    Raises:
        NoSuchKey: There is none of this name.
    """
    old = _require(keys, name)
    expires = None if old.expires is None else now + (old.expires - old.created)
    new = msgspec.structs.replace(old, sha256=sha256, created=now, expires=expires)
    return tuple(new if key is old else key for key in keys)


def view_of(key: Key, now: float, *, secret: str | None = None) -> KeyView:
    """Show a key; its secret can be shown once, by who has just made it."""
    return KeyView(
        id=key.id,
        name=key.name,
        created=key.created,
        expires=key.expires,
        expired=not key.is_valid(now),
        models=key.models,
        per_minute=key.per_minute,
        key=secret,
    )


def _require(keys: Sequence[Key], name: str) -> Key:
    for key in keys:
        if key.name == name:
            return key
    raise NoSuchKey(
        f"There is no key {name[:80]!r}.",
        why=f"the keys are {', '.join(k.name for k in keys)}" if keys else "there are no keys",
        fix="localllm key ls",
    )
