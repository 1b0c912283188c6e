"""What a service's file is made of: facts of this installation, before any system's way to write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from localllm.paths import Paths

FORMAT = 1


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it is to be; kept in the file that is written, so that it can be read again."""

    format: int = FORMAT
    python: str
    """The interpreter that has localllm, absolute: no PATH decides it."""

    environment: Mapping[str, str]
    log: str
    """The file that the daemon writes."""

    sockets: tuple[str, ...] = ()
    """Addresses with ports that the system listens on for the daemon; empty: it does so itself."""

    first: tuple[str, ...] = ()
    """A command that makes the devices of an accelerator; empty where none is needed."""

    filters: bool = True
    """Whether system calls are filtered; see `facts.filters_slow_down`."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the interpreter is started with: the daemon, whatever folder it is started in."""
        return ("-P", "-m", "localllm.daemon", "--log-to-file")


def what_is_wanted(
    python: str,
    environment: Mapping[str, str],
    paths: Paths,
    *,
    sockets: tuple[str, ...] = (),
    first: tuple[str, ...] = (),
    filters: bool = True,
) -> Wanted:
    """Join the facts.

    Args:
        environment: What of the environment goes along; see environment.py.
        sockets: See `socket_names`.
    """
    return Wanted(
        python=python,
        environment=dict(sorted(environment.items())),
        log=str(paths.daemon_log),
        sockets=sockets,
        first=first,
        filters=filters,
    )


def socket_names(addresses: Sequence[str], port: int) -> tuple[str, ...]:
    """Name sockets as systemd does: an address of IPv6 stands in brackets."""
    return tuple(f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in addresses)
