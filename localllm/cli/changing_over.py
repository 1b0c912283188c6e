"""Changes the program under a daemon: it ends, another version is put in place, and it comes back.

While the files change, this process has the old code in memory and must import nothing more; the
new version is asked by its own command.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from localllm.api import exposure, key_file  # noqa: F401  # what start_daemon imports as it needs it
from localllm.api.sync_client import DaemonClient, connect
from localllm.cli import new_version, service_start  # noqa: F401  # likewise
from localllm.cli.conventions import say
from localllm.cli.new_version import Model
from localllm.cli.start import start_daemon, wait_until_gone
from localllm.config import reading  # noqa: F401  # likewise
from localllm.errors import LocalLLMError, NotRunning, StartFailed
from localllm.paths import Paths
from localllm.service.installed import InstalledService, installed_service
from localllm.versioned import NewerFile

_LISTED_WITHIN_S = 300.0
"""A new daemon plans what was served, one by one."""

_LOOK_EVERY_S = 0.3
_SETTLED = ("ready", "downloading")
_SERVED = ("ready", "starting", "warming", "backoff")


class _Serving(msgspec.Struct):
    serving: list[dict[str, object]] = []


@dataclass(frozen=True, slots=True)
class Before:
    """What ran before, and is to run again."""

    service: InstalledService | None
    """The service that it is; None: it was started by hand."""

    port: int
    models: tuple[str, ...]
    count: int
    """That somebody has asked for, and the next daemon serves again."""

    failing: frozenset[str] = frozenset()
    """That did not run before either; they are not counted."""


def change_over(
    paths: Paths, version: str, *, forth: Callable[[], None], back: Callable[[], None]
) -> None:
    """Put another version in place, around a drained daemon. A terminal that goes away ends nothing.

    Args:
        version: That is put in place.
        forth: Installs it; where it fails, the old version may be there still.
        back: Installs the old version again.

    Raises:
        LocalLLMError: It failed; the old version is there, and serves what it served.
    """
    with _deaf_to(signal.SIGHUP):
        service = installed_service(paths, os.environ)
        client = connect(paths.daemon_file)
        before = None if client is None else _look_at(client, service, paths)
        if client is not None and before is not None:
            _tell("draining: requests in flight end, new ones are told to come again ...")
            _end(client, before.service, paths)
        try:
            _tell(f"installing localllm {version} ...")
            with _uninterrupted():
                forth()
        except (LocalLLMError, OSError):
            _tell("not installed; all comes back as it was")
            _put_back(before, paths, back, needed=not _runs())  # half of it may have been replaced
            raise
        try:
            _check(before, service, paths, version)
        except (LocalLLMError, OSError) as error:
            _go_back(before, service, paths, back, error)


def _put_back(
    before: Before | None, paths: Paths, back: Callable[[], None], *, needed: bool
) -> None:
    """Install the old version again if that is needed; what ran begins again, even if that fails.

    Raises:
        LocalLLMError: The old version could not be installed.
    """
    try:
        if needed:
            with _uninterrupted():
                back()
    finally:
        if before is not None:
            _begin(before, paths)


def _check(
    before: Before | None, service: InstalledService | None, paths: Paths, version: str
) -> None:
    """See the new version run, and serve what was served.

    Raises:
        StartFailed: It does not.
    """
    said = new_version.run("--version")
    if said.split()[-1:] != [version]:
        raise new_version.does_not_run(
            version, f"it says {said.strip()[-200:]!r} when it is asked for its version"
        )
    if service is not None:
        new_version.renew_service()
    if before is None:
        _tell(f"localllm {version} is here; no daemon ran")
        return
    _tell("starting the daemon again ...")
    _begin(before, paths)
    _wait_for_models(before, version)
    served = ", ".join(before.models) or "nothing, as before"
    _tell(f"localllm {version} serves {served}")


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Hear no Ctrl-C meanwhile, nor does the installer: half an installation is worse than a wait."""
    with _deaf_to(signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def _deaf_to(*signals: signal.Signals) -> Generator[None]:
    """Hear none of them, nor do the programs that are started."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    """Talk, if anybody is there still to be talked to."""
    with suppress(OSError):
        say(text)


def _runs() -> bool:
    try:
        new_version.run("--version")
    except StartFailed:
        return False
    return True


def _look_at(client: DaemonClient, service: InstalledService | None, paths: Paths) -> Before:
    listed = client.models()
    models = tuple(one.id for one in listed if one.state in _SERVED and one.wanted)
    failing = frozenset(one.id for one in listed if one.state == "failed") - {*models}
    try:
        count = len(msgspec.json.decode(paths.serving.read_bytes(), type=_Serving).serving)
    except (OSError, msgspec.DecodeError):
        count = 0
    runs = service is not None and service.look().pid == client.daemon.pid
    count = max(count - len(failing), 0)
    return Before(service if runs else None, client.daemon.port, models, count, failing)


def _end(client: DaemonClient, service: InstalledService | None, paths: Paths) -> None:
    """Drain it, and wait until it is gone.

    Raises:
        KeyboardInterrupt: The waiting has an end, the drain goes on.
        LocalLLMError: It does not end.
    """
    try:
        if service is not None:
            service.stop()
        else:
            with suppress(NotRunning):  # it has just ended
                client.shut_down(forget=False)
        wait_until_gone(client, paths)
    except KeyboardInterrupt:
        _tell("nothing is installed; the daemon ends all the same: localllm up brings it back")
        raise


def _begin(before: Before, paths: Paths) -> None:
    """Start a daemon; one that a request or a person has started meanwhile may be of two versions."""
    try:
        meanwhile = connect(paths.daemon_file)
        if meanwhile is not None:
            _end(meanwhile, before.service, paths)
        if before.service is not None:
            before.service.start()
        else:
            start_daemon(paths, before.port)
    except NewerFile:
        return  # it has written who it is, in a way that this version does not know


def _wait_for_models(before: Before, version: str) -> None:
    """Wait until the new daemon serves as many models as it was left.

    Raises:
        StartFailed: One has failed, or is not even listed.
    """
    deadline = time.monotonic() + _LISTED_WITHIN_S
    while True:
        status = new_version.read_status()
        listed = () if status is None else status.models
        failed = next((one for one in listed if _has_newly_failed(one, before)), None)
        if failed is not None:
            why = "" if failed.error is None else f": {failed.error.reason}"
            raise new_version.does_not_run(version, f"{failed.id} does not start{why}")
        if status is not None and _is_served(listed, before):
            return
        if time.monotonic() > deadline and len(listed) < before.count:
            raise new_version.does_not_run(
                version, f"of {before.count} models it has only {len(listed)} under way"
            )
        time.sleep(_LOOK_EVERY_S)


def _has_newly_failed(model: Model, before: Before) -> bool:
    return model.state == "failed" and model.id not in before.failing


def _is_served(listed: Collection[Model], before: Before) -> bool:
    """Whether all is ready that was; a download may go on for hours, and so may what failed before."""
    others = [one for one in listed if one.id not in before.failing]
    ready = [one for one in others if one.state in _SETTLED]
    return len(ready) >= before.count and len(ready) == len(others)


def _go_back(
    before: Before | None,
    service: InstalledService | None,
    paths: Paths,
    back: Callable[[], None],
    error: Exception,
) -> Literal[None]:
    """Put the old version back, and serve with it what was served.

    Raises:
        StartFailed: Always: the new version is not what runs.
    """
    why = error.why if isinstance(error, LocalLLMError) else str(error)
    _tell(f"it does not come up ({why}); the old version comes back ...")
    with suppress(LocalLLMError):
        client = connect(paths.daemon_file)
        if client is not None:
            _end(client, None if before is None else before.service, paths)
    if service is not None:
        with suppress(LocalLLMError):
            service.put_back()
    _put_back(before, paths, back, needed=True)
    raise StartFailed(
        "The new version did not come up; the old one is back.",
        why=why,
        fix=f"look into {paths.daemon_log}",
    ) from error
