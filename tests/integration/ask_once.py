"""Somebody who asks a server once and takes what comes, however wrong it is."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes
    error: Exception | None = None
    """That ended the body too early."""


def ask(url: str, *, within_s: float = 10, method: str = "GET", **headers: str) -> Got:
    """Ask once, on a connection of its own, and read as much as comes."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=within_s)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{target.path}?{target.query}", headers=sent)
        answer = connection.getresponse()
        got = Got(answer.status, dict(answer.headers), b"")
        _read(answer, got)
    finally:
        connection.close()
    return got


def _read(answer: http.client.HTTPResponse, got: Got) -> None:
    try:
        while piece := answer.read1(1 << 16):
            got.body += piece
        if answer.length:
            got.error = http.client.IncompleteRead(got.body)
    except (OSError, http.client.HTTPException) as error:
        got.error = error
