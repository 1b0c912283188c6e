"""Brings a daemon to life, and waits for what it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from localllm import __version__
from localllm.api.daemon_file import DaemonFile
from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient, connect
from localllm.cli.conventions import say
from localllm.cli.unfinished import UNDER_WAY
from localllm.errors import AlreadyRunning, NotRunning, StartFailed, by_code, code_of
from localllm.paths import Paths
from localllm.wording.starts import gone, start_failed

_DAEMON_DEADLINE_S = 30.0
_END_DEADLINE_S = 3600.0
"""A drain takes as long as the settings of the daemon allow; Ctrl-C ends the waiting."""

_LOOK_EVERY_S, _LOOK_AT_LEAST_EVERY_S = 0.05, 0.5
_SAID_BYTES = 4096


@contextmanager
def a_daemon(paths: Paths, port: int | None) -> Generator[DaemonClient]:
    """Find the daemon or start one; one of another version is replaced, after a drain.

    One that was started here is ended again if the block fails and it serves nothing.

    Raises:
        LocalLLMError: It did not start, or runs on another port than is asked for.
    """
    client, started = _ensure_daemon(paths, port)
    try:
        yield client
    except BaseException:  # Ctrl-C too
        with suppress(NotRunning):
            busy = started and any(one.state in UNDER_WAY for one in client.pulls())
            if started and not busy and not client.models():
                client.shut_down(forget=False)
                wait_until_gone(client, paths)
        raise


def _ensure_daemon(paths: Paths, port: int | None) -> tuple[DaemonClient, bool]:
    client = connect(paths.daemon_file)
    if client is None:
        return start_daemon(paths, port), True
    if client.daemon.version != __version__:
        say(f"replacing the daemon of version {client.daemon.version}")
        client.shut_down(forget=False)
        wait_until_gone(client, paths)
        return start_daemon(paths, port), True
    if port not in {None, client.daemon.port}:
        raise AlreadyRunning(
            f"The daemon runs already, on port {client.daemon.port}.",
            why=f"one daemon serves all models of a user, and port {port} is asked for",
            fix="localllm down, then localllm up --port again",
        )
    return client, False


def wait_until_gone(client: DaemonClient, paths: Paths) -> None:
    """Wait for a daemon that was told to stop, and for its process to be no more.

    Raises:
        StartFailed: It is still there after an hour.
    """
    deadline = time.monotonic() + _END_DEADLINE_S
    while not _is_gone(client.daemon.pid):
        if time.monotonic() > deadline:
            raise StartFailed(
                "The daemon does not stop.",
                why=f"process {client.daemon.pid} is there after {_END_DEADLINE_S / 60:.0f} min",
                fix=f"look into {paths.daemon_log}",
            )
        time.sleep(_LOOK_EVERY_S)


def _is_gone(pid: int) -> bool:
    with suppress(ChildProcessError):  # ours, if this command started it: reap it
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except OSError:
        return True
    return False


def start_daemon(paths: Paths, port: int | None) -> DaemonClient:
    """Start one, and wait until it listens; the program that is installed, of whatever version.

    Raises:
        LocalLLMError: It did not start.
    """
    # a daemon that runs needs none of it
    from localllm.cli.service_start import by_service  # noqa: PLC0415
    from localllm.service.environment import absolute  # noqa: PLC0415
    from localllm.service.system import of_no_service  # noqa: PLC0415

    paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = by_service(paths, port)
    if started is not None:
        _say_who_reaches(started.daemon, paths)
        return started
    command = [sys.executable, "-P", "-m", "localllm.daemon"]
    if port is not None:
        command += ["--port", str(port)]
    with paths.daemon_log.open("ab") as log:
        said_from = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=absolute(of_no_service(os.environ), Path.cwd()),
            cwd="/",
        )
    deadline = time.monotonic() + _DAEMON_DEADLINE_S
    while time.monotonic() < deadline:
        client = connect(paths.daemon_file)
        if client is not None:
            _say_who_reaches(client.daemon, paths)
            return client
        if process.poll() is not None:
            raise_what_it_said(process.returncode, paths.daemon_log, said_from)
        time.sleep(_LOOK_EVERY_S)
    process.terminate()
    raise StartFailed(
        "The daemon did not start.",
        why=f"it did not listen within {_DAEMON_DEADLINE_S:.0f} s",
        fix=f"look into {paths.daemon_log}",
    )


def _say_who_reaches(daemon: DaemonFile, paths: Paths) -> None:
    """Say what others than this machine's programs reach of it, if they do."""
    if daemon.listen == "127.0.0.1":
        return
    from localllm.api.exposure import render_exposure  # noqa: PLC0415  # rarely needed
    from localllm.api.key_file import read_keys  # noqa: PLC0415

    exposed = render_exposure(daemon.listen, daemon.port, read_keys(paths.keys_file), time.time())
    if exposed is not None:
        say(exposed)


def raise_what_it_said(code: int | None, log: Path, said_from: int) -> None:
    """Raise the error that ended the daemon; one that lost a race to another is no error.

    Args:
        code: How it ended; None if that is not known.
    """
    with log.open("rb") as file:
        file.seek(said_from)
        said = file.read()[-_SAID_BYTES:].decode(errors="replace")
    error = re.search(
        r"^(?P<code>\w+): (?P<what>.+)\n  why: (?P<why>.+)\n  fix: (?P<fix>.+)$", said, re.MULTILINE
    )
    if error is None:
        why = "the service ended" if code is None else f"it exited with {code}"
        raise StartFailed("The daemon did not start.", why=why, fix=f"look into {log}")
    if error["code"] != code_of(AlreadyRunning):
        raise by_code(error["code"])(error["what"], why=error["why"], fix=error["fix"])


def wait_for(
    client: DaemonClient, instance: str, show: Callable[[InstanceView], None]
) -> InstanceView:
    """Watch an instance until it is ready.

    Args:
        show: Called at every look.

    Raises:
        StartFailed: It has given up, with its reason and the engine's last lines; or is there no more.
    """
    pause_s, name = _LOOK_EVERY_S, instance
    while True:
        model = next((m for m in client.models() if m.instance == instance), None)
        if model is None:
            raise gone(name, instance, client.events(follow=False))
        name = model.id
        show(model)
        if model.state == "ready":
            return model
        if not model.wanted:
            raise start_failed(model)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _LOOK_AT_LEAST_EVERY_S)


def require_none(paths: Paths) -> None:
    """Refuse to become the daemon beside another, before anything is fetched for it.

    Raises:
        AlreadyRunning: There is one.
    """
    client = connect(paths.daemon_file)
    if client is not None:
        raise AlreadyRunning(
            "A daemon is running already.",
            why=f"process {client.daemon.pid} listens on port {client.daemon.port}",
            fix="localllm down first, or leave --foreground out",
        )


def become_daemon(port: int | None, serve: str | None) -> None:
    """Replace this process by a daemon that stays in the foreground; never returns."""
    command = [sys.executable, "-P", "-m", "localllm.daemon"]
    command += [] if port is None else ["--port", str(port)]
    command += [] if serve is None else ["--serve", serve]
    os.execv(command[0], command)  # noqa: S606  # our own program, and no shell is wanted
