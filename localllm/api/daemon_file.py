"""daemon.json: who the daemon is, where it listens, and the token that the control API asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from localllm.versioned import DamagedFile, Kind, NewerFile, read_versioned, replace_private

FORMAT = 1
_OF_THE_HUB = (
    *("HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"),
)
"""What decides which hub is asked, by whom, through what, and where its files go."""


class DaemonFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    pid: int
    started: float
    """Unix seconds."""

    port: int
    token: str
    version: str
    listen: str = "127.0.0.1"
    """The address for others; we ask on loopback in any case."""

    hub: str = ""
    """Of the daemon's environment; see `hub_fingerprint`."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


KIND = Kind("the running daemon", DaemonFile, FORMAT)


class _Owner(msgspec.Struct):
    """Of a file of any version."""

    pid: int


def write_daemon_file(file: Path, content: DaemonFile) -> None:
    """Write it so that nobody else can read it, not even for a moment, and nobody sees half of it."""
    replace_private(file, msgspec.json.encode(content), synced=False)  # of no use after a power cut


def read_daemon_file(file: Path) -> DaemonFile | None:
    """Read it; None if there is none that this version can read, or if its daemon is dead.

    The port of a dead one may be another program's by now, which must not get the token.

    Raises:
        NewerFile: The daemon of a later version runs.
    """
    try:
        read = read_versioned(file, KIND)
    except NewerFile:
        if _is_alive(_pid_in(file)):
            raise
        return None
    except (OSError, DamagedFile):
        return None
    return read if read is not None and _is_alive(read.pid) else None


def _pid_in(file: Path) -> int | None:
    """Who has written a file of a later version, if that says it as this one does."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Owner).pid
    except (OSError, msgspec.DecodeError):
        return None


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def hub_fingerprint(environment: Mapping[str, str]) -> str:
    """Tell environments apart in which a pull would not do the same; no secret can be read from it.

    An empty variable is as good as none.
    """
    from hashlib import sha256  # noqa: PLC0415  # 3 ms that most commands save

    said = [(name, environment[name]) for name in _OF_THE_HUB if environment.get(name)]
    return sha256(repr(said).encode(errors="surrogateescape")).hexdigest()
