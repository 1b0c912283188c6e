"""What may go wrong between a server and us: what passes, what is refused, and in which words."""

from __future__ import annotations

import math

from localllm.errors import NoNetwork, WrongContent
from localllm.transfer.addresses import shown, without_password
from localllm.transfer.wanted import Wanted
from localllm.units import duration

CONNECT = "connect to the network, or set HTTPS_PROXY if there is a proxy in between"
LATER = "try again later: the server is out of order"
TRUST = "if your network inspects TLS, name the file of its certificates in SSL_CERT_FILE"


class Refused(NoNetwork):
    """The server was reached, and has no such file for us.

    Args:
        status: What it answers with.
        code: The hub's own word for it, as in GatedRepo; empty without one.
    """

    own_code = "no_network"
    retryable = False

    def __init__(self, what: str, *, why: str, fix: str, status: int = 0, code: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status
        self.code_of_hub = code


class TryAgain(Exception):
    """An attempt failed in a way that may pass.

    Args:
        after_s: What the server asks for; None leaves it to us.
        answered: Whether there is a server at all; if there never was, waiting is of no use.
        busy: It has too much to do, of us perhaps.
        fix: What to do about it if it does not pass.
    """

    def __init__(
        self,
        why: str,
        *,
        after_s: float | None = None,
        answered: bool = True,
        busy: bool = False,
        fix: str = CONNECT,
    ) -> None:
        super().__init__(why)
        self.fix = fix
        self.after_s = after_s
        self.answered = answered
        self.busy = busy


def refused(wanted: Wanted, host: str | None, status: int, code: str) -> Refused:
    """Say what the server answers with."""
    why = f"{host} answers with {status} ({_address(wanted)})"
    return Refused(_what(wanted), why=why, fix=CONNECT, status=status, code=code)


def unreachable(wanted: Wanted, why: str, fix: str = CONNECT) -> NoNetwork:
    """Say which file could not be had, and why."""
    return NoNetwork(_what(wanted), why=f"{why} ({_address(wanted)})", fix=fix)


def given_up(wanted: Wanted, again: TryAgain) -> NoNetwork:
    """Say why nobody waits any longer; of a server that is busy, when to come back."""
    if not again.busy and again.after_s is None:
        return unreachable(wanted, str(again), again.fix)
    after_s = again.after_s if again.after_s and math.isfinite(again.after_s) else None
    when = "" if after_s is None else f", in {duration(math.ceil(after_s))}"
    error = unreachable(wanted, str(again), f"it is busy: try again later{when}")
    error.retry_after_s = after_s
    return error


def wrong_content(wanted: Wanted, why: str) -> WrongContent:
    """Say which file is another one, and how that shows."""
    return WrongContent(
        f"{shown(wanted.name)} is not what it should be.",
        why=f"{why} ({_address(wanted)})",
        fix="do not use it; see whether something between here and there changes downloads",
    )


def _what(wanted: Wanted) -> str:
    return f"{shown(wanted.name)} could not be fetched."


def _address(wanted: Wanted) -> str:
    return shown(without_password(wanted.url))
