"""By which installer localllm came here: told by what that has left beside it. Changes nothing."""

from __future__ import annotations

import json
import re
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import localllm
from localllm import __version__

NAME = "localllm"
_UV_RECEIPT, _PIPX_RECEIPT = "uv-receipt.toml", "pipx_metadata.json"
_EXTRAS = re.compile(rf"{NAME}\[([\w.,\s-]+)\]")


class Method(StrEnum):
    UV_TOOL = "uv tool"
    PIPX = "pipx"
    PIP = "pip"
    UV_PIP = "uv pip"
    CHECKOUT = "a checkout"
    """Of the source: it runs from there."""

    SYSTEM = "the system's packages"


@dataclass(frozen=True, slots=True)
class Installed:
    """This program, as an installer knows it."""

    method: Method
    version: str
    python: str
    """The interpreter that runs it."""

    folder: Path
    """Where its package is: the checkout's root, or the folder of installed packages."""

    extras: tuple[str, ...] = ()
    """That were asked for with it, as far as the installer remembers."""

    beside: tuple[str, ...] = ()
    """Other packages that uv was told to install with it."""

    has_pip: bool = True
    """In its environment."""

    @property
    def by_uv(self) -> bool:
        """Whether uv looks after its packages; else pip does."""
        return self.method in {Method.UV_TOOL, Method.UV_PIP} or not self.has_pip


@dataclass(frozen=True, slots=True)
class Traces:
    """What installers leave."""

    has_uv_receipt: bool = False
    has_pipx_receipt: bool = False
    is_installed: bool = True
    """There is an installer's record of the package that runs."""

    editable: str | None = None
    """The folder that it links to, where it does."""

    installer: str = "pip"
    """As it has signed."""

    has_pip: bool = True
    in_environment: bool = True
    """Of its own, and not the system's Python."""

    is_managed: bool = False
    """The system says that its packages are its own business."""


def decide_method(traces: Traces) -> Method:
    """Decide which installer can replace it. Pure."""
    if not traces.is_installed or traces.editable is not None:
        return Method.CHECKOUT
    if traces.has_uv_receipt:
        return Method.UV_TOOL
    if traces.has_pipx_receipt:
        return Method.PIPX
    if traces.is_managed and not traces.in_environment:
        return Method.SYSTEM
    return Method.PIP if traces.has_pip and traces.installer != "uv" else Method.UV_PIP


def read_installed() -> Installed:
    """Look how the program that runs was installed."""
    prefix, site = Path(sys.prefix), Path(localllm.__file__).parents[1]
    traces = read_traces(prefix, site)
    method = decide_method(traces)
    extras, beside = _asked_for(prefix, method)
    folder = Path(traces.editable) if traces.editable else site
    return Installed(
        method, __version__, sys.executable, folder, extras, beside, has_pip=traces.has_pip
    )


def read_traces(prefix: Path, site: Path) -> Traces:
    """Look for what installers leave in an environment, and beside the package in `site`."""
    from importlib.util import find_spec  # noqa: PLC0415

    record = next(iter(sorted(site.glob(f"{NAME}-*.dist-info"))), None)
    stdlib = sysconfig.get_path("stdlib")
    direct = {} if record is None else _read_json(record / "direct_url.json")
    return Traces(
        has_uv_receipt=(prefix / _UV_RECEIPT).is_file(),
        has_pipx_receipt=(prefix / _PIPX_RECEIPT).is_file(),
        is_installed=record is not None,
        editable=_editable(direct),
        installer=_read(record / "INSTALLER").strip() if record else "",
        has_pip=find_spec("pip") is not None,
        in_environment=sys.prefix != sys.base_prefix,
        is_managed=bool(stdlib) and Path(stdlib, "EXTERNALLY-MANAGED").is_file(),
    )


def _editable(direct: object) -> str | None:
    """Read which folder a link leads to. Source: PEP 610."""
    match direct:
        case {"url": str(url), "dir_info": {"editable": True}}:
            return url.removeprefix("file://")
        case _:
            return None


def _asked_for(prefix: Path, method: Method) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the extras, and what else was asked for with it."""
    if method is Method.UV_TOOL:
        return _of_receipt(_read(prefix / _UV_RECEIPT))
    if method is Method.PIPX:
        match _read_json(prefix / _PIPX_RECEIPT):
            case {"main_package": {"package_or_url": str(asked)}}:
                found = _EXTRAS.search(asked) or re.search(r"\.whl\[([\w.,\s-]+)\]", asked)
                return _split(found[1]) if found else (), ()
            case _:
                return (), ()
    return (), ()


def _of_receipt(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        asked = tomllib.loads(text)["tool"]["requirements"]
        own = next(one for one in asked if one["name"] == NAME)
        others = (_as_asked(one) for one in asked if one["name"] != NAME)
        return tuple(own.get("extras", ())), tuple(others)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, StopIteration):
        return (), ()


def _as_asked(entry: Mapping[str, Any]) -> str:
    """Write one as PEP 508 has it: another of the same name, from an index, may be anybody's."""
    match entry:
        case {"name": name, "url": where}:
            return f"{name} @ {where}"
        case {"name": name, "git": where}:
            place, _, query = str(where).partition("?")
            rev = re.search(r"(?:rev|tag|branch)=([^&]+)", query)
            return f"{name} @ git+{place}" + (f"@{rev[1]}" if rev else "")
        case {"name": name, **more} if found := _first(more, "directory", "path", "editable"):
            return f"{name} @ {Path(found).absolute().as_uri()}"
        case _:
            return f"{entry['name']}{entry.get('specifier', '')}"


def _first(entry: Mapping[str, Any], *names: str) -> str | None:
    return next((str(entry[name]) for name in names if entry.get(name)), None)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_json(file: Path) -> object:
    try:
        return json.loads(_read(file))
    except ValueError:
        return {}
