"""The remote's key, from the environment or the system's keyring, and never from a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import anyio

from localllm.config.remote import Remote
from localllm.gateway.remote_rules import RemoteFailed

_PATIENCE_S = 10.0
"""A keyring that is locked may ask its user, who may not be there."""

_AT_ONCE = 4


class RemoteKey:
    """Reads the key whenever it is needed, so that a new one counts at once.

    Args:
        environment: The daemon's.
    """

    def __init__(self, remote: Remote, environment: Mapping[str, str]) -> None:
        self._remote = remote
        self._environment = environment
        self._threads = anyio.CapacityLimiter(_AT_ONCE)

    async def read(self) -> str | None:
        """Find the key; None if the remote needs none.

        Raises:
            RemoteFailed: It is not where the settings say.
        """
        if self._remote.key_env is not None:
            return _checked(self._environment.get(self._remote.key_env), self._remote.key_env)
        if self._remote.keyring is None:
            return None
        return _checked(await self._from_keyring(self._remote.keyring), "the keyring's entry")

    async def _from_keyring(self, place: str) -> str | None:
        service, _, user = place.rpartition("/")
        try:
            with anyio.fail_after(_PATIENCE_S):
                return await anyio.to_thread.run_sync(
                    _read_keyring, service, user, abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError as error:
            raise _missing(
                f"the keyring did not answer within {_PATIENCE_S:.0f} s",
                "unlock it, or name a variable with key_env",
            ) from error


def _read_keyring(service: str, user: str) -> str | None:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError as error:
        raise _missing(
            "the Python package keyring is not installed beside localllm",
            "install it there (pip install keyring), or name a variable with key_env",
        ) from error
    try:
        found: str | None = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise _missing(
            f"the keyring refuses: {error}", "unlock it, or name a variable with key_env"
        ) from error
    if found is None:
        raise _missing(
            f"the keyring has no entry for {service}/{user}", f"keyring set {service} {user}"
        )
    return found


def _checked(found: str | None, place: str) -> str:
    key = (found or "").strip()
    if not key:
        raise _missing(
            f"{place} is empty or not set for the daemon",
            "set it, then localllm down and localllm up: the daemon keeps its environment",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise _missing(f"{place} has characters that no key has", "correct it")
    return key


def _missing(why: str, fix: str) -> RemoteFailed:
    return RemoteFailed("The remote's key is not to be had.", why=why, fix=fix, will_pass=False)
