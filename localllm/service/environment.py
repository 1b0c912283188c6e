"""Which variables go along into a service: what says where things are, never what is secret. Pure.

A service starts without a shell, so nothing of what the user has set there is known to it. What
is written into its file can be read by every program of the user, and is kept in backups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localllm.service.quoting import CannotBeWritten, quoted

_OURS = "LOCALLLM_"
_NOT_OURS_TO_KEEP = frozenset({"LOCALLLM_SOCKETS", "LOCALLLM_PYTHON"})
_CARRIED = (
    "PATH",  # a llama-server of the user's own
    *("LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN_PATH"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"),
    *("OLLAMA_MODELS", "PYTHONPATH", "LANG", "LC_ALL", "TZ"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
    *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION"),
    *("GGML_VK_VISIBLE_DEVICES", "VK_ICD_FILENAMES", "VK_DRIVER_FILES"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"),
    *("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    *("NO_PROXY", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
_PATHS = frozenset(
    {
        *("LOCALLLM_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH"),
        *("OLLAMA_MODELS", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"),
    }
)
_LISTS = frozenset({"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"})
"""Of paths, with colons between."""

_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SOUNDS_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?\Z")
"""LOCALLLM_REMOTE_KEY_ENV, for one, only names a variable."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN_FILE = "`hf auth login` keeps the token in a file, which the service reads"  # noqa: S105  # none


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A variable that is set here and does not go along."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Carried:
    """What goes along, and what the user may miss."""

    variables: Mapping[str, str]
    left_out: tuple[LeftOut, ...] = ()


def carried(environment: Mapping[str, str], key_variable: str | None = None) -> Carried:
    """Choose what of an environment goes into a service's file.

    Args:
        key_variable: The one that the settings name for another server's key.
    """
    kept, left_out = dict[str, str](), list[LeftOut]()
    for name in _names(environment):
        value = environment[name]
        why = _why_not(name, value)
        if why is None:
            kept[name] = value
        else:
            left_out.append(LeftOut(name, why))
    for name in dict.fromkeys((*_SECRETS, *([key_variable] if key_variable else ()))):
        if environment.get(name):
            kept.pop(name, None)
            how = (
                _TOKEN_FILE if name in _SECRETS else "a key is better kept in the system's keyring"
            )
            left_out.append(LeftOut(name, f"it is secret: {how}"))
    return Carried(kept, tuple(left_out))


def absolute(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Write paths so that they mean the same in any folder; what is started is in another."""

    def whole(part: str) -> str:
        return str(folder / part) if part and part[0] not in "/~" else part

    found = dict(environment)
    for name in _PATHS & environment.keys():
        found[name] = whole(environment[name])
    for name in _LISTS & environment.keys():
        found[name] = ":".join(map(whole, environment[name].split(":")))
    return found


def _names(environment: Mapping[str, str]) -> list[str]:
    ours = [
        name
        for name in sorted(environment)
        if name.startswith(_OURS) and _NAME.fullmatch(name) and name not in _NOT_OURS_TO_KEEP
    ]
    return [name for name in (*ours, *_CARRIED) if environment.get(name)]


def _why_not(name: str, value: str) -> str | None:
    if _SOUNDS_SECRET.search(name) and name not in _CARRIED:
        return "its name sounds secret"
    if _may_have_password(name, value):
        return "a password is in it"
    try:
        quoted(value)
    except CannotBeWritten as error:
        return str(error)
    return None


def _may_have_password(name: str, value: str) -> bool:
    """Tell whether it is an address with a name or a password in it, however badly it is written."""
    return "@" in value and ("://" in value or name.upper().endswith("_PROXY"))
