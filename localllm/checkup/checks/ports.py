"""The daemon's port: who has it, and whether `localhost` leads there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import psutil

from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.place import Place
from localllm.errors import LocalLLMError
from localllm.service.installed import installed_service

_A = Area.PORTS
_LISTENS = "0A"
_CONNECT_S = 0.3


def check_port(known: Known) -> Iterator[Finding]:
    """Whether the daemon has, or could have, its port."""
    port, running = known.port, known.daemon.get()
    if running is None:
        yield from _wanted(known.place, port)
        return
    theirs = _who_listens(known.place, port, but=running.file.pid)
    if theirs is not None:
        yield Finding(
            "ports.shared",
            _A,
            Severity.WARNING,
            f"{theirs} listens on port {port}, too, at another address than the daemon.",
            "clients that ask for localhost may get the other program",
            f"localllm down && localllm up --port {_free_port()}",
        )
    else:
        yield ok("ports.daemon", _A, f"The daemon has port {port} to itself.")
    yield from _localhost(port)


def _wanted(place: Place, port: int) -> Iterator[Finding]:
    """Whether the daemon could have its port. To knock on a socket of the service's would start it."""
    if _is_kept_by_service(place):
        yield ok("ports.socket", _A, f"The service keeps port {port}, and starts the daemon.")
        return
    if not any(_answers(address, port) for address in ("127.0.0.1", "::1")):
        yield ok("ports.free", _A, f"Port {port} is free for the daemon.")
        return
    who = _who_listens(place, port, but=None) or "another user's program"
    yield Finding(
        "ports.taken",
        _A,
        Severity.PROBLEM,
        f"Port {port}, which the daemon would listen on, is taken by {who}.",
        "localllm up fails, and clients that ask there talk to the other program",
        f"localllm up --port {_free_port()}",
    )


def _is_kept_by_service(place: Place) -> bool:
    service = installed_service(place.paths, place.environment)
    if service is None or not service.made_of.sockets:
        return False
    with suppress(LocalLLMError):
        return service.look().listens
    return False


def _localhost(port: int) -> Iterator[Finding]:
    """Many clients ask `localhost`, which some systems take for ::1 alone."""
    if _answers("localhost", port):
        yield ok("ports.localhost", _A, "localhost leads to the daemon.")
        return
    yield Finding(
        "ports.localhost",
        _A,
        Severity.WARNING,
        f"http://localhost:{port} does not lead to the daemon, http://127.0.0.1:{port} does.",
        "/etc/hosts, or the lack of IPv6, sends localhost elsewhere",
        "echo '127.0.0.1 localhost' | sudo tee -a /etc/hosts",
    )


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def _who_listens(place: Place, port: int, *, but: int | None) -> str | None:
    """Name the program that listens; None where nobody does, or only `but`."""
    for pid in _listeners(place, port):
        if pid != but:
            with suppress(psutil.Error):
                return f"{psutil.Process(pid).name()} (process {pid})"
    return None


def _listeners(place: Place, port: int) -> list[int]:
    """Processes that listen on a port, of those that this user may ask."""
    if place.system == "darwin":
        told = place.ask(["/usr/sbin/lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"]) or ""
        return [int(word) for word in told.split() if word.isdecimal()]
    inodes = {f"socket:[{inode}]" for inode in _inodes(place, port)}
    return sorted({pid for pid, link in _open_sockets(place) if link in inodes}) if inodes else []


def _inodes(place: Place, port: int) -> Iterator[str]:
    for table in ("proc/net/tcp", "proc/net/tcp6"):
        for line in place.read(table).splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _open_sockets(place: Place) -> Iterator[tuple[int, str]]:
    for folder in place.lists("proc/[0-9]*/fd"):
        with suppress(OSError):
            for link in folder.iterdir():
                with suppress(OSError):
                    yield int(folder.parent.name), str(link.readlink())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
