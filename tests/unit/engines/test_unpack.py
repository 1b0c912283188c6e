"""Archives: what is in them ends up in the folder, with its permissions, and nothing ends up elsewhere."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from localllm.engines.builds.unpack import unpack
from localllm.errors import EngineUnusable, NoSpace

MEMBERS = {"llama-b1/llama-server": b"#!/bin/sh\n", "llama-b1/README.md": b"read me\n" * 5000}


def member(name: str, content: bytes = b"", **more: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in more.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def a_tar(*members: tuple[tarfile.TarInfo, io.BytesIO], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, content)
    return out.getvalue()


def a_zip(*members: tuple[str, bytes, int], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as opened:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            opened.writestr(info, content, kind)
    return out.getvalue()


def plain_tar(mode: str) -> bytes:
    modes = {"llama-b1/llama-server": 0o755, "llama-b1/README.md": 0o666}
    return a_tar(*(member(n, c, mode=modes[n]) for n, c in MEMBERS.items()), mode=mode)


def plain_zip() -> bytes:
    return a_zip(
        ("llama-b1/llama-server", MEMBERS["llama-b1/llama-server"], 0o100755),
        ("llama-b1/README.md", MEMBERS["llama-b1/README.md"], 0o100644),
    )


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "house" / "into"
    folder.mkdir(parents=True)
    return folder


def unpacked(content: bytes, into: Path) -> set[str]:
    """Unpack from a file whose name says nothing; return the paths of all files in the house."""
    archive = into.parents[1] / "0123abcd"
    archive.write_bytes(content)
    unpack(archive, "engine.tar.gz", into)
    return files(into)


def files(into: Path) -> set[str]:
    house = into.parent
    return {str(p.relative_to(house)) for p in house.rglob("*") if not p.is_dir()}


def refused(content: bytes, into: Path) -> str:
    with pytest.raises(EngineUnusable) as caught:
        unpacked(content, into)
    assert caught.value.what == "engine.tar.gz cannot be unpacked."
    return caught.value.why


@pytest.mark.parametrize(
    "content",
    [plain_tar("w"), plain_tar("w:gz"), plain_tar("w:xz"), plain_tar("w:bz2"), plain_zip()],
    ids=["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"],
)
def test_every_kind_of_archive_is_known_by_its_content(into: Path, content: bytes) -> None:
    assert unpacked(content, into) == {f"into/{name}" for name in MEMBERS}

    for name, expected in MEMBERS.items():
        assert (into / name).read_bytes() == expected
    assert os.access(into / "llama-b1/llama-server", os.X_OK)
    assert not (into / "llama-b1/README.md").stat().st_mode & stat.S_IXUSR


def test_links_within_an_archive_are_kept(into: Path) -> None:
    unpacked(
        a_tar(
            member("lib/libllama.so.1", b"ELF"),
            member("lib/libllama.so", type=tarfile.SYMTYPE, linkname="libllama.so.1"),
            member("lib/libmtmd.so", type=tarfile.LNKTYPE, linkname="lib/libllama.so.1"),
        ),
        into,
    )

    assert (into / "lib/libllama.so").readlink() == Path("libllama.so.1")
    assert (into / "lib/libmtmd.so").read_bytes() == b"ELF"


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil", b"x")],
        [member("a/../../evil", b"x")],
        [member("evil", type=tarfile.SYMTYPE, linkname="../../outside")],
        [member("evil", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
        [member("evil", type=tarfile.LNKTYPE, linkname="../outside")],
        [member("a", type=tarfile.SYMTYPE, linkname=".."), member("a/evil", b"x")],
        [member("pipe", type=tarfile.FIFOTYPE)],
        [member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
        [member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    ],
    ids=lambda members: f"{members[0][0].name}->{members[0][0].linkname}",
)
def test_a_tar_that_leads_elsewhere_is_refused(
    into: Path, members: list[tuple[tarfile.TarInfo, io.BytesIO]]
) -> None:
    (into.parent / "outside").write_text("untouched")

    refused(a_tar(member("first", b"x"), *members), into)

    assert (into.parent / "outside").read_text() == "untouched"
    assert files(into) == {"outside", "into/first"}


@pytest.mark.parametrize("name", ["/tmp/evil", "//tmp/evil"])
def test_an_absolute_path_ends_up_within(into: Path, name: str) -> None:
    for content in (a_tar(member(name, b"x")), a_zip((name, b"x", 0o100644))):
        assert unpacked(content, into) == {"into/tmp/evil"}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "..\\evil"])
def test_a_zip_that_leads_elsewhere_ends_up_within(into: Path, name: str) -> None:
    written = unpacked(a_zip((name, b"x", 0o100644)), into)

    assert all(path.startswith("into/") for path in written)


def test_a_link_in_a_zip_is_refused(into: Path) -> None:
    assert "libllama.so is a link" in refused(a_zip(("libllama.so", b"/etc", 0o120777)), into)


def test_owners_and_special_permissions_are_ours(into: Path) -> None:
    unpacked(a_tar(member("run", b"x", mode=0o6777, uid=12345, gid=12345)), into)

    status = (into / "run").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_uid == os.getuid()


def test_a_tar_that_ends_with_a_zip_is_a_tar(into: Path) -> None:
    content = a_tar(member("llama-server", b"x"), member("extra.zip", plain_zip()))

    assert unpacked(content, into) == {"into/llama-server", "into/extra.zip"}


def broken(content: bytes, at: float) -> bytes:
    place = int(len(content) * at)
    return content[:place] + bytes(64) + content[place + 64 :]


def locked_zip() -> bytes:
    """What an encrypted archive says of itself, without the cipher."""
    content = bytearray(plain_zip())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


TEXT = " ".join(str(number * number) for number in range(50_000)).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"photographs",
        plain_tar("w:gz")[:40],
        plain_tar("w:xz")[:80],
        broken(a_tar(member("text", TEXT), mode="w:gz"), 0.5),
        broken(a_tar(member("text", TEXT), mode="w:xz"), 0.5),
        broken(a_tar(member("text", TEXT), mode="w:bz2"), 0.9),
        broken(a_zip(("text", TEXT, 0o100644), kind=zipfile.ZIP_STORED), 0.5),
        broken(a_zip(("text", TEXT, 0o100644)), 0.5),
        locked_zip(),
    ],
    ids=[
        *("empty", "none", "cut gz", "cut xz", "bad gz", "bad xz", "bad bz2"),
        *("bad zip", "bad deflate", "locked zip"),
    ],
)
def test_what_is_broken_is_an_error_in_one_line(into: Path, content: bytes) -> None:
    why = refused(content, into)

    assert why
    assert "\n" not in why


def test_a_bomb_is_unpacked_since_its_hash_was_right(into: Path) -> None:
    """Whether an archive may be unpacked is decided by its pin, or by its owner; not by its size."""
    bomb = a_tar(member("zeros", bytes(20 << 20)), mode="w:gz")
    assert len(bomb) < 100_000

    assert unpacked(bomb, into) == {"into/zeros"}


@pytest.mark.parametrize("content", [plain_tar("w:gz"), plain_zip()], ids=["tar", "zip"])
def test_a_disk_that_fills_up_is_told(
    into: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile, "copyfileobj", fail)
    monkeypatch.setattr("shutil.copyfileobj", fail)

    with pytest.raises(NoSpace) as caught:
        unpacked(content, into)

    assert "engine.tar.gz" in caught.value.what
