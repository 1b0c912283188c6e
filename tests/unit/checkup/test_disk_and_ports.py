"""Disks that are full, read-only or far away; ports that others have."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localllm.checkup.checks import disk, ports
from localllm.checkup.checks.disk import disk_checks, find_mount
from localllm.checkup.checks.ports import check_port
from localllm.checkup.finding import Finding, Severity
from localllm.checkup.known import Running
from localllm.checkup.place import Place
from localllm.service.installed import InstalledService
from localllm.service.manager import Said
from localllm.service.systemd import Systemd
from localllm.service.systemd_unit import SOCKET_UNIT
from localllm.service.wanted import Wanted
from localllm.units import GIB, MIB
from tests.unit.checkup.a_place import a_daemon_file, a_known, a_place, a_status, bad, by_id, only


def looked_at(place: Place, name: str) -> list[Finding]:
    check = next(one for one in disk_checks(place) if one.id == f"disk.{name}")
    return list(check.look(a_known(place)))


def mounted(folder: Path, kind: str, options: str = "rw") -> dict[str, str]:
    return {"proc/self/mounts": f"/dev/sda1 / ext4 rw 0 0\nx {folder}/home {kind} {options} 0 0\n"}


def with_room(monkeypatch: pytest.MonkeyPatch, free: int, total: int) -> None:
    monkeypatch.setattr(disk, "_room", lambda _: disk._Room(free, total))


@pytest.mark.parametrize(
    ("free", "id_", "severity"),
    [
        (100 * MIB, "disk.full", Severity.PROBLEM),
        (4 * GIB, "disk.nearly-full", Severity.WARNING),
        (100 * GIB, None, None),
    ],
)
def test_a_disk_without_room_is_named_before_a_download_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    id_: str | None,
    severity: Severity | None,
) -> None:
    with_room(monkeypatch, free, 500 * GIB)

    found = [
        one for one in looked_at(a_place(tmp_path), "models") if one.severity is not Severity.OK
    ]

    assert [(one.id, one.severity) for one in found] == ([] if id_ is None else [(id_, severity)])
    assert not found or (found[0].fix or "").startswith("localllm gc")


def test_a_disk_that_is_mounted_read_only_is_a_problem(tmp_path: Path) -> None:
    place = a_place(tmp_path, mounted(tmp_path, "ext4", "ro,noatime"))

    found = by_id(looked_at(place, "state"))["disk.read-only"]

    assert (found.fix or "").startswith(f"sudo mount -o remount,rw {tmp_path}/home")


@pytest.mark.parametrize("kind", ["nfs4", "9p", "fuse.sshfs", "cifs"])
def test_a_network_file_system_is_a_warning(tmp_path: Path, kind: str) -> None:
    place = a_place(tmp_path, mounted(tmp_path, kind))

    models, state = looked_at(place, "models"), looked_at(place, "state")

    assert "loading one takes minutes" in (by_id(models)["disk.far"].why or "")
    assert "locks and databases" in (by_id(state)["disk.far"].why or "")


def test_a_disk_in_memory_is_noted(tmp_path: Path) -> None:
    place = a_place(tmp_path, mounted(tmp_path, "tmpfs"))

    assert by_id(looked_at(place, "engines"))["disk.in-memory"].severity is Severity.NOTE


def test_the_innermost_mount_counts_and_blanks_in_its_name_are_read(tmp_path: Path) -> None:
    inner = tmp_path / "a disk"
    inner.mkdir()
    lines = f"x / ext4 rw 0 0\nx {tmp_path} xfs rw 0 0\nx {tmp_path}/a\\040disk btrfs ro 0 0\n"
    place = a_place(tmp_path, {"proc/self/mounts": lines})

    kinds = [find_mount(place, each).kind for each in (Path("/"), tmp_path, inner)]  # type: ignore[union-attr]

    assert kinds == ["ext4", "xfs", "btrfs"]


def test_a_folder_that_nothing_had_to_go_into_yet_is_no_finding(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    assert not place.paths.cache.exists()
    check = next(one for one in disk_checks(place) if one.id == "disk.cache")

    assert bad(check.look(a_known(place, status=a_status()))) == []


def test_a_folder_of_somebody_elses_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = a_place(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who runs tests too, may anything

    found = by_id(looked_at(place, "state"))["disk.not-writable"]

    assert found.fix == f"sudo chown -R dev {place.paths.state}"


def test_a_folder_of_models_that_is_shared_is_never_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    shared = tmp_path / "srv/models"
    shared.mkdir(parents=True)
    place = a_place(tmp_path, environment={"HF_HUB_CACHE": str(shared)})

    found = by_id(looked_at(place, "models"))["disk.not-writable"]

    assert found.severity is Severity.WARNING
    assert "chown" not in (found.fix or "")


def test_no_folder_above_ours_is_ever_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest that is there may be the root of the disk."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    place = a_place(tmp_path, environment={"HF_HUB_CACHE": "/no/such/models"})

    found = by_id(looked_at(place, "models"))["disk.not-writable"]

    assert found.fix == "sudo install -d -o dev /no/such/models"


LISTENS = """
import socket, sys, time
with socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3])) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_listener(
    address: str = "127.0.0.1", port: int = 0, family: int = socket.AF_INET
) -> Iterator[tuple[int, int]]:
    """A program that listens; its process and its port."""
    command = [sys.executable, "-c", LISTENS, address, str(port), str(int(family))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def on_port(place: Place, port: int) -> Place:
    place.paths.config_file.write_text(f"port = {port}\n")
    return place


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_who_has_the_port_is_named(tmp_path: Path) -> None:
    with a_listener() as (pid, port):
        place = on_port(a_place(tmp_path, root=Path("/")), port)

        found = only(check_port(a_known(place)))

    assert (found.id, found.severity) == ("ports.taken", Severity.PROBLEM)
    assert "is taken by python" in found.what
    assert f"(process {pid})" in found.what
    assert (found.fix or "").startswith("localllm up --port ")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
@pytest.mark.parametrize("listens", [True, False])
def test_a_socket_of_the_service_is_not_knocked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, listens: bool
) -> None:
    """That would start the daemon, and systemd is no other program; where it does not listen, one is."""
    with socket.create_server(("127.0.0.1", 0)) as systemds:
        place = on_port(a_place(tmp_path), port := systemds.getsockname()[1])
        made_of = Wanted(
            python="python",
            environment={},
            log=str(place.paths.daemon_log),
            sockets=(f"127.0.0.1:{port}",),
        )
        shown = f"ActiveState={'active' if listens else 'inactive'}\n"
        (tmp_path / SOCKET_UNIT).touch()
        manager = Systemd(tmp_path, lambda *_: Said(0, shown, ""))
        service = InstalledService(manager, made_of, place.paths)
        monkeypatch.setattr(ports, "installed_service", lambda *_: service)

        assert bad(check_port(a_known(place))) == ([] if listens else ["ports.taken"])
        knocked = bool(select.select([systemds], [], [], 0)[0])
        assert knocked is not listens


def test_a_free_port_is_in_order(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    assert bad(check_port(a_known(on_port(a_place(tmp_path), port)))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_another_program_on_the_daemons_port_is_a_warning(tmp_path: Path) -> None:
    """The daemon has IPv4's loopback, another program IPv6's: localhost may be either."""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        try:
            with a_listener("::1", port, socket.AF_INET6) as (pid, _):
                daemon = Running(a_daemon_file(pid=os.getpid(), port=port), a_status())
                known = a_known(a_place(tmp_path, root=Path("/")), daemon=daemon)
                found = by_id(check_port(known))["ports.shared"]
        except ValueError:
            pytest.skip("this machine has no IPv6")

    assert f"(process {pid})" in found.what


def test_localhost_that_leads_elsewhere_is_a_warning(tmp_path: Path) -> None:
    """As the daemon's own port is not open here, nothing answers at localhost either."""
    daemon = Running(a_daemon_file(port=1), a_status())

    assert bad(check_port(a_known(a_place(tmp_path), daemon=daemon))) == ["ports.localhost"]
