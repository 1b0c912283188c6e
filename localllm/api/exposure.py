"""What of this machine others can reach, by the address that the daemon listens on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from localllm.api.keys import Key
from localllm.errors import ConfigError

LOOPBACK = frozenset({"127.0.0.1", "::1"})
"""The addresses of loopback that we listen on. Others of 127.0.0.0/8 count as beyond: nothing of
ours uses them, and what passes others' connections on to this machine may."""

_EVERY_IPV4, _EVERY = "0.0.0.0", "::"  # noqa: S104  # only where the user says so


def addresses_of(listen: str) -> tuple[str, ...]:
    """Say which addresses to listen on.

    Loopback is always among them, since that is where the CLI asks; `::` is every address of
    both families.

    Raises:
        ConfigError: It is no address.
    """
    try:
        address = ip_address(listen)
    except ValueError as error:
        raise ConfigError(
            f"The daemon cannot listen on {listen!r}.",
            why=str(error),
            fix="set listen to an address of this machine: 127.0.0.1, 0.0.0.0 for all of IPv4, "
            ":: for all, or one that `ip addr` or `ifconfig` shows",
        ) from error
    if address.is_unspecified:
        return _EVERY_IPV4, _EVERY if str(address) == _EVERY else "::1"
    return tuple(dict.fromkeys(["127.0.0.1", str(address), "::1"]))


def is_exposed(listen: str) -> bool:
    """Tell whether others than this machine's programs can reach the daemon."""
    return not set(addresses_of(listen)) <= LOOPBACK


def check_exposure(listen: str, keys: Sequence[Key], now: float) -> None:
    """Let a daemon start that others can reach only if nobody gets in without a key.

    Args:
        now: Unix seconds.

    Raises:
        ConfigError: There is no valid key.
    """
    if is_exposed(listen) and not any(key.is_valid(now) for key in keys):
        raise ConfigError(
            f"The daemon does not listen on {listen} without an API key.",
            why="anybody who reaches that address could use the models of this machine, and "
            + ("all keys have expired" if keys else "there is no key"),
            fix="localllm key create NAME, or take listen out of the settings",
        )


def render_exposure(listen: str, port: int, keys: Sequence[Key], now: float) -> str | None:
    """Say what others can reach; None if they reach nothing."""
    if not is_exposed(listen):
        return None
    valid = sum(key.is_valid(now) for key in keys)
    address = f"[{listen}]" if ":" in listen else listen
    return (
        f"reachable by others at http://{address}:{port}, not encrypted: /v1 and /metrics with an "
        f"API key ({valid} valid), /healthz and /readyz without"
    )
