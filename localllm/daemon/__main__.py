"""Starts the one daemon of a state folder, in the foreground, and exits with its error's own code."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import filelock
import msgspec

from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.reading import load
from localllm.daemon.running import Daemon, has_uvloop
from localllm.errors import AlreadyRunning, LocalLLMError
from localllm.odd_files import look_over, render_odd
from localllm.paths import Paths, paths_for
from localllm.service.system import log_into, take_system
from localllm.supervisor.endpoints import clear_sockets
from localllm.supervisor.reaper import reap

_log = logging.getLogger("localllm.daemon")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m localllm.daemon")
    parser.add_argument("--port", type=int)
    parser.add_argument("--serve", help="what to serve at once, as JSON")
    parser.add_argument("--log-to-file", action="store_true", help="as a service does")
    return parser.parse_args()


def main() -> None:
    """Run a daemon until it is told to stop; exit with the error's own code if it cannot start."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    code = 0
    given = _arguments()
    system = take_system(os.environ)
    try:
        paths = paths_for(os.environ)
        if given.log_to_file:
            log_into(paths.daemon_log)
        faulthandler.enable()  # where it hung, should systemd's watchdog end it
        flags = {} if given.port is None else {"port": given.port}
        current = Current(load(paths.config_file, os.environ, flags))
        first = msgspec.json.decode(given.serve, type=ServeRequest) if given.serve else None
        with _only_one(paths):
            _clean_up_after_a_crash(paths)
            _say_what_cannot_be_read(paths)
            daemon = Daemon(current, paths, first, system)
            anyio.run(daemon.run, backend_options={"use_uvloop": has_uvloop()})
            clear_sockets(paths.sockets)
        if daemon.failure is not None:
            raise daemon.failure
    except LocalLLMError as error:
        sys.stderr.write(f"{error.code}: {error}\n")  # the CLI reads it
        code = error.exit_code
    sys.stderr.flush()
    os._exit(code)  # all is in order; a thread that hangs in a driver must not keep us


@contextmanager
def _only_one(paths: Paths) -> Generator[None]:
    """Be the one daemon of this state folder; the kernel frees the lock of one that died.

    Raises:
        AlreadyRunning: There is another.
    """
    paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths.state.chmod(0o700)
    lock = filelock.FileLock(paths.lock, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise AlreadyRunning(
            "A daemon is running already.", why=f"it holds {paths.lock}", fix="localllm status"
        ) from error
    try:
        yield
    finally:
        paths.daemon_file.unlink(missing_ok=True)
        paths.lock.unlink(missing_ok=True)  # still held: whoever waits for it sees it unlinked
        lock.release()


def _clean_up_after_a_crash(paths: Paths) -> None:
    for pid in reap(paths.state):
        _log.warning("an engine of an earlier daemon was ended: pid=%d", pid)
    clear_sockets(paths.sockets)


def _say_what_cannot_be_read(paths: Paths) -> None:
    for odd in look_over(paths):
        _log.warning("%s", render_odd(odd))


if __name__ == "__main__":
    main()
