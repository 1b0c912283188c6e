"""Asks the version that is installed now, by its own command: this process may be of another."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from localllm.errors import StartFailed

_ASK_WITHIN_S = 60.0
_RENEW_WITHIN_S = 300.0
_RENEW = """
import os
from localllm.paths import paths_for
from localllm.service.installed import installed_service
service = installed_service(paths_for(os.environ), os.environ)
if service is not None and hasattr(service, "renew_if_outdated"):
    service.renew_if_outdated()
"""
"""Run by the version that was installed; an older one, gone back to, may know nothing of it."""


class _Error(msgspec.Struct):
    reason: str


class Model(msgspec.Struct):
    id: str
    state: str
    error: _Error | None = None


class _Daemon(msgspec.Struct):
    version: str


class Status(msgspec.Struct):
    """As the contract has it: any version says this much."""

    daemon: _Daemon
    models: list[Model] = []


def renew_service() -> None:
    """Have the new version write the service's file as it does; it alone knows how.

    Raises:
        StartFailed: It cannot.
    """
    run("-c", _RENEW, within_s=_RENEW_WITHIN_S)


def read_status() -> Status | None:
    """Ask how its daemon is; None where it does not say."""
    try:
        return msgspec.json.decode(run("status", "--json"), type=Status)
    except (msgspec.DecodeError, StartFailed):
        return None


def run(*words: str, within_s: float = _ASK_WITHIN_S) -> str:
    """Ask the version that is installed now; its command, or with `-c` its code.

    Raises:
        StartFailed: It does not run.
    """
    program = () if words[0] == "-c" else ("-m", "localllm")
    command = [sys.executable, "-P", *program, *words]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=within_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise does_not_run("that is installed now", str(error)) from error
    if ran.returncode != 0:
        raise does_not_run("that is installed now", ran.stderr.strip()[-400:])
    return ran.stdout


def does_not_run(version: str, why: str) -> StartFailed:
    """Say so."""
    return StartFailed(
        f"The version {version} does not run.", why=why, fix="localllm upgrade --check"
    )
