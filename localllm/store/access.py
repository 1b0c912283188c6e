"""What it takes to ask a hub: where it is, and who asks. Asks nothing, and imports no library for it.

As huggingface_hub finds it, but from the environment that is given; compared with it in
test_access.py. Source: huggingface_hub 2.4, constants.py and utils/_auth.py.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from localllm import __version__
from localllm.errors import ConfigError
from localllm.store.names import HUB
from localllm.store.places import hub_home
from localllm.store.variables import expanded

_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_MAX_TOKEN_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How a hub is asked for a file."""

    endpoint: str = field(repr=False)
    """As in https://huggingface.co; a mirror's may have a path, and a password that nobody is to
    see. Never a slash at the end."""

    headers: Mapping[str, str] = field(repr=False)
    """Names in small letters; `authorization` is for the endpoint's own host alone."""


def hub_access(environment: Mapping[str, str]) -> HubAccess:
    """Find the hub that the environment names, and the user's token for it.

    Raises:
        ConfigError: The token is none that can be sent.
    """
    headers = {"user-agent": f"localllm/{__version__}; python/{platform.python_version()}"}
    token = find_token(environment)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return HubAccess(endpoint_of(environment), headers)


def endpoint_of(environment: Mapping[str, str]) -> str:
    """Find the hub's address."""
    return (environment.get("HF_ENDPOINT") or HUB).strip().rstrip("/")


def host_of(endpoint: str) -> str:
    """Name the server behind an address, without the password that may be in it."""
    try:
        return urlsplit(endpoint).netloc.rpartition("@")[2]
    except ValueError:  # it is no address, which is said when it is asked
        return ""


def is_offline(environment: Mapping[str, str]) -> bool:
    """Tell whether the user forbids to ask any hub."""
    return _is_true(environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE"))


def file_url(endpoint: str, repo: str, commit: str, path: str) -> str:
    """Make the address that a hub gives a file at."""
    return f"{endpoint}/{repo}/resolve/{quote(commit, safe='')}/{quote(path)}"


def find_token(environment: Mapping[str, str]) -> str | None:
    """Find the token that `hf auth login` left or a variable holds; None where there is none.

    Raises:
        ConfigError: It is none that can be sent.
    """
    if hides_token(environment):
        return None
    stated = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    token = re.sub(r"[\r\n]", "", stated or _left(token_file(environment))).strip()
    if not token:
        return None
    if len(token) > _MAX_TOKEN_CHARS or not re.fullmatch(r"[!-~]+", token):
        raise ConfigError(
            "The token for the hub is none that can be sent.",
            why="it is too long, or has spaces or other characters that no token has",
            fix="hf auth login, or set HF_TOKEN to a token of your account",
        )
    return token


def hides_token(environment: Mapping[str, str]) -> bool:
    """Tell whether the user wants no token to be sent."""
    return _is_true(environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN"))


def token_file(environment: Mapping[str, str]) -> Path:
    """Find where `hf auth login` leaves the token."""
    stated = environment.get("HF_TOKEN_PATH")
    return expanded(stated, environment) if stated else hub_home(environment) / "token"


def _left(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(_MAX_TOKEN_CHARS + 1)
    except (OSError, ValueError):
        return ""


def _is_true(text: str | None) -> bool:
    return (text or "").upper() in _TRUE
