"""Writes what a bug report needs into one archive, and nothing that is nobody's business.

What is in it is listed here, one by one: nothing is taken because it lies in a folder. No prompts,
no captures, no keys, no database.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from localllm import __version__
from localllm.api.checkup_views import CheckupView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import PlanRequest
from localllm.checkup.anonymous import Anonymous, anonymous
from localllm.checkup.known import Known
from localllm.checkup.place import Place, read_text
from localllm.errors import LocalLLMError
from localllm.planning.views import render_machine
from localllm.store.access import find_token

_LAST_LINES, _LAST_BYTES, _LAST_EVENTS = 400, 256 << 10, 300
_PLANS = 4
"""Each takes the daemon a moment."""

_LOGS = 8
"""The newest of them."""

_PACKAGES = (
    *("aiohttp", "anyio", "filelock", "huggingface_hub", "llama-cpp-python", "mlx", "mlx-lm"),
    *("msgspec", "nvidia-ml-py", "psutil", "textual", "uvloop", "xllamacpp"),
)
_TELLING = ("LOCALLLM_", "HF_", "HUGGING", "CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "XDG_", "LC_")
_TELLING_WHOLE = (
    "LANG",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "WSL_DISTRO_NAME",
    "container",
    "PYTHONPATH",
)
_ADDRESSES = frozenset({"origins", "allowed_hosts", "listen", "url", "engine_mirror", "keyring"})
"""Settings that say where the user's computers are."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    what: str
    """For the reader, in a few words."""

    content: bytes


def write_bundle(file: Path, view: CheckupView, known: Known) -> list[Member]:
    """Write the archive, readable by its user alone.

    Raises:
        FileExistsError: There is such a file; nothing is replaced.
        OSError: It cannot be written.
    """
    place = known.place
    hidden = hide(place)
    members = list(_members(view, known, hidden))
    members.insert(0, _contents(members))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as opened,
        zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for member in members:
            archive.writestr(member.name, member.content)
    return members


def hide(place: Place) -> Anonymous:
    """Gather what is secret here, word for word."""
    secrets = {place.environment.get("LOCALLLM_API_KEY", ""), *_tokens(place)}
    return anonymous(
        secrets=(one for one in secrets if one),
        home=str(place.home),
        user=place.user,
        host=socket.gethostname(),
        environment=place.environment,
    )


def _tokens(place: Place) -> Iterator[str]:
    try:
        token = find_token(place.environment)
    except LocalLLMError:
        token = None
    if token is not None:
        yield token
    for path in (place.paths.daemon_file, place.paths.keys_file):
        yield from _words_of(path)
    key = place.paths.prefix_key
    if key.exists():
        yield from (key.read_bytes().hex(), read_text(key).strip())


def _words_of(path: Path) -> Iterator[str]:
    """Give every text in a file that is secret as a whole, short ones left out."""
    try:
        pending: list[object] = [msgspec.json.decode(path.read_bytes())]
    except (OSError, msgspec.DecodeError):
        return
    while pending:
        match pending.pop():
            case dict() as members:
                pending.extend(members.values())
            case list() as items:
                pending.extend(items)
            case str() as text if len(text) >= 20:  # noqa: PLR2004  # as tokens and hashes are
                yield text


def _members(view: CheckupView, known: Known, hidden: Anonymous) -> Iterator[Member]:
    place, status = known.place, known.status
    yield _json("doctor.json", "what this checkup found", view, hidden)
    machine = known.machine.get()
    if status is not None:
        yield _json("status.json", "the daemon and its models", status, hidden)
        yield _json("probe.json", "the hardware, as the daemon sees it", status.hardware, hidden)
    elif machine is not None:
        yield _json("probe.json", "the hardware", render_machine(machine), hidden)
    yield _json("versions.json", "versions of what is installed", _versions(), hidden)
    yield _json("environment.json", "variables that matter", _variables(place.environment), hidden)
    yield from _config(place, hidden)
    yield from _plans(known, hidden)
    yield from _events(known, hidden)
    yield from _logs(place, hidden)


def _json(name: str, what: str, document: object, hidden: Anonymous) -> Member:
    plain = hidden.document(msgspec.to_builtins(document))
    return Member(name, what, msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")


def _versions() -> dict[str, str | None]:
    told: dict[str, str | None] = {
        "localllm": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
    }
    return told | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Proxies only by name: their addresses are a company's own."""
    told = {
        name: value
        for name, value in environment.items()
        if name.startswith(_TELLING) or name in _TELLING_WHOLE
    }
    told |= {name: "<set>" for name in environment if name.lower().endswith("_proxy")}
    told |= {name: "<set>" for name in told if _is_of_an_address(name)}
    return dict(sorted(told.items()))


def _is_of_an_address(name: str) -> bool:
    return name.startswith("LOCALLLM_") and name.lower().endswith(tuple(_ADDRESSES))


def _config(place: Place, hidden: Anonymous) -> Iterator[Member]:
    """As values: comments stay at home."""
    text = read_text(place.paths.config_file)
    if not text:
        return
    try:
        written = tomllib.loads(text)
    except ValueError as error:  # of numbers without end, too
        written = {"it is no TOML": str(error)}
    yield _json("config.json", "config.toml, without addresses and keys", _unnamed(written), hidden)


def _unnamed(value: object, name: str = "") -> object:
    match value:
        case dict():
            return {key: _unnamed(part, key) for key, part in value.items()}
        case _ if name in _ADDRESSES:
            return "<set>"
        case list():
            return [_unnamed(part, name) for part in value]
        case str() | bool() | int() | float():
            return value
        case _:
            return str(value)  # TOML has dates, too


def _plans(known: Known, hidden: Anonymous) -> Iterator[Member]:
    """What the daemon would plan now for what it serves: each number with its formula."""
    running = known.daemon.get()
    if running is None or running.status is None:
        return
    client, plans = DaemonClient(running.file), dict[str, object]()
    for model in running.status.models[:_PLANS]:
        wanted = PlanRequest(model=model.file or model.id, offline=True, explain=True)
        try:
            plans[model.id] = client.plan(wanted)
        except LocalLLMError as error:
            plans[model.id] = {"not told": error.what, "why": error.why}
    if plans:
        yield _json("plan.json", "what would be planned for them", plans, hidden)


def _events(known: Known, hidden: Anonymous) -> Iterator[Member]:
    running = known.daemon.get()
    if running is None or running.status is None:
        return
    try:
        events = list(DaemonClient(running.file).events(follow=False))[-_LAST_EVENTS:]
    except LocalLLMError:
        return
    yield _json("events.json", "what happened and was decided", events, hidden)


def _logs(place: Place, hidden: Anonymous) -> Iterator[Member]:
    files = sorted(
        (one for one in place.paths.logs.glob("*") if one.is_file() and not one.is_symlink()),
        key=lambda one: -one.stat().st_mtime,
    )
    for file in files[:_LOGS]:
        end, whole = _end_of(file)
        lines = hidden.lines(end, whole=whole).splitlines(keepends=True)[-_LAST_LINES:]
        yield Member(f"logs/{hidden.text(file.name)}", "its last lines", "".join(lines).encode())


def _end_of(file: Path) -> tuple[str, bool]:
    """Read the end of a log, and tell whether that is all of it."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _LAST_BYTES))
        text = opened.read().decode(errors="replace")
    if size <= _LAST_BYTES:
        return text, True
    return text.partition("\n")[2], False  # a half line may hide half a key


def _contents(members: list[Member]) -> Member:
    lines = [
        "What `localllm doctor --bundle` has put together for a bug report.",
        "",
        *(f"{member.name:<24} {member.what}" for member in members),
        "",
        "Keys, tokens, addresses of other computers, the names of the user, of the computer and of the home",
        "folder were taken out. Prompts, answers, captures and saved prompts were never put in.",
        "Read it through before you send it: only you know what else is private here.",
        "",
    ]
    return Member("README.txt", "this list", "\n".join(lines).encode())
