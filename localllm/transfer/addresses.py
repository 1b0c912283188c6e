"""Addresses: whose they are, where one may lead, and how they are shown. Pure."""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

_SHOWN = 300


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Tell whose address it is: what is secret goes to that one alone."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def redirected(url: str, location: str, wanted: str) -> str:
    """Follow a redirect: over TLS, or on the machine where `wanted` is if that one has none.

    Raises:
        ValueError: It leads elsewhere; says where.
    """
    target = urljoin(url, location)
    to, own = urlsplit(target), urlsplit(wanted)
    same_machine = to.scheme == own.scheme == "http" and to.hostname == own.hostname
    if to.hostname and (to.scheme == "https" or same_machine):
        return target
    raise ValueError(
        f"it is redirected to {shown(_without_password(to))}, which is not encrypted"
        if to.hostname
        else f"it is redirected to {shown(target)}, which is no address"
    )


def is_plain(url: str) -> bool:
    """Tell whether it can be sent as it is: one that is signed must not be changed."""
    return all("!" <= char <= "~" for char in url)


def has_password(url: str) -> bool:
    """Tell whether it says who asks."""
    return urlsplit(url).username is not None


def without_password(url: str) -> str:
    """Take out who asks, for words that others may read, and what signs it."""
    try:
        return _without_password(urlsplit(url))
    except ValueError:  # what is no address may have a password in it all the same
        return url.partition("?")[0].rpartition("@")[2]


def shown(text: str) -> str:
    """Make what somebody else wrote fit for a terminal: printable, and not endless."""
    clean = "".join(char if char.isprintable() else "?" for char in text[:_SHOWN])
    return clean if len(text) <= _SHOWN else f"{clean}..."


def _without_password(parts: SplitResult) -> str:
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()
