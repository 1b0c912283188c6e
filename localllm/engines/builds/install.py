"""Gets one build: fetched, checked, unpacked, proved on the device, and only then put in use.

Whatever ends it half-way leaves the engine that is in use as it was; what has been downloaded is
kept for the next attempt.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import msgspec

from localllm.catalog.builds import Archive, Build, Drives, Package
from localllm.engines.base import EngineDevice
from localllm.engines.builds.installed import engine_in
from localllm.engines.builds.packages import install_packages
from localllm.engines.builds.shelf import Manifest, Shelved
from localllm.engines.builds.trial import Trial, prove
from localllm.engines.builds.unpack import unpack
from localllm.engines.builds.workshop import Workshop
from localllm.errors import EngineUnusable, WrongContent
from localllm.hardware.machine import DeviceKind
from localllm.transfer.digests import sha256, sha256_of
from localllm.transfer.download import download
from localllm.transfer.manner import Manner
from localllm.transfer.session import Session, outside
from localllm.transfer.wanted import Wanted

_KINDS = {
    Drives.CUDA: DeviceKind.CUDA,
    Drives.ROCM: DeviceKind.ROCM,
    Drives.VULKAN: DeviceKind.VULKAN,
    Drives.SYCL: DeviceKind.VULKAN,  # as every backend that only the engine's own list names
    Drives.METAL: DeviceKind.METAL,
}


async def install(build: Build, workshop: Workshop) -> Shelved:
    """Get a build and make it the one in use of its engine.

    Raises:
        NoNetwork: It cannot be fetched.
        WrongContent: What comes is something else.
        NoSpace: The disk is too full.
        EngineUnusable: It does not run here.
    """
    shelf = workshop.shelf
    here = next((s for s in shelf.builds() if s.build == build), None)
    if here is not None:
        with shelf.locked():
            await anyio.to_thread.run_sync(prove_build, build, here.folder, workshop)
            shelf.use(here)
        return replace(here, in_use=True)
    with shelf.locked(), shelf.staging(build) as staging:
        await _fetch(build, workshop, staging)
        shelved = await anyio.to_thread.run_sync(take_in, build, workshop, staging)
        shutil.rmtree(shelf.downloads, ignore_errors=True)
    return shelved


def take_in(build: Build, workshop: Workshop, staging: Path) -> Shelved:
    """Prove what is unpacked, and put it in use.

    Raises:
        EngineUnusable: It does not run here.
    """
    device = prove_build(build, staging, workshop)
    origin = "this disk" if workshop.folder is not None else ", ".join(build.hosts)
    manifest = Manifest(build=build, fetched_from=origin, at=time.time(), proved_on=device)
    shelved = workshop.shelf.shelve(staging, manifest)
    workshop.shelf.use(shelved)
    return replace(shelved, in_use=True)


def prove_build(build: Build, folder: Path, workshop: Workshop) -> str | None:
    """Have a build run the trial model on every device that it is for; return where it did.

    One that another program has filled is no reason against the build, as long as it runs on
    another.

    Raises:
        EngineUnusable: It does not start, lists no such device, or computes on none of them.
    """
    engine = engine_in(folder, build, workshop.environment)
    found = engine.find()
    if found.reason is not None:
        raise _unusable(build, found.reason)
    kind = _KINDS.get(build.drives)
    devices: Sequence[EngineDevice | None] = (
        [None] if kind is None else [d for d in found.devices if d.kind is kind]
    )
    if not devices:
        raise _unusable(
            build, found.hint or f"it lists no {build.drives.value} device", _cure(build)
        )
    proved: list[str] = []
    failed: list[EngineUnusable] = []
    for device in devices:
        try:
            prove(Trial(engine, found, device), workshop.trial_model, workshop.environment)
        except EngineUnusable as error:
            failed.append(error)
        else:
            proved.append("" if device is None else device.description)
    if not proved:
        raise failed[0]
    for reason in failed:
        workshop.warn(f"{reason.what} {reason.why}")
    return ", ".join(filter(None, proved)) or None


def _cure(build: Build) -> str | None:
    """What mostly stands between a build and a card that it does not list."""
    if build.drives is not Drives.VULKAN:
        return None
    return (
        "install the card's Vulkan driver (mesa-vulkan-drivers for AMD and Intel), join the group "
        "`render`, and in a container pass /dev/dri through"
    )


async def _fetch(build: Build, workshop: Workshop, staging: Path) -> None:
    async with outside(workshop.environment) as session:
        for archive in build.archives:
            file = await _archive(archive, workshop, session)
            await anyio.to_thread.run_sync(unpack, file, archive.name, staging)
    if build.packages:
        packages = [_mirrored_package(package, workshop.mirror) for package in build.packages]
        await anyio.to_thread.run_sync(
            lambda: install_packages(
                packages,
                staging,
                workshop.environment,
                find_in=workshop.folder,
                tell=workshop.tell,
                tied=workshop.tied,
            )
        )


async def _archive(archive: Archive, workshop: Workshop, session: Session) -> Path:
    if workshop.folder is not None:
        return await anyio.to_thread.run_sync(_from_disk, archive, workshop.folder)
    url = mirrored(archive.url, workshop.mirror)
    wanted = Wanted(url, sha256(archive.sha256), archive.size)
    whole = workshop.shelf.downloads / archive.sha256

    def tell(here: int) -> None:
        workshop.tell(archive.name, here, archive.size)

    await download(session, wanted, whole, Manner(tell=tell))
    return whole


def _from_disk(archive: Archive, folder: Path) -> Path:
    file = folder / archive.name
    if not file.is_file():
        raise EngineUnusable(
            f"{archive.name} is not in {folder}.",
            why="the build is made of it",
            fix=f"fetch it on a machine with network ({archive.url}) and bring it there",
        )
    digest = sha256_of(file)
    if digest != archive.sha256:
        raise WrongContent(
            f"{file} is not what it should be.",
            why=f"its SHA-256 is {digest}, not {archive.sha256}",
            fix=f"fetch it again from {archive.url}",
        )
    return file


def mirrored(url: str, mirror: str | None) -> str:
    """Say where an address of the outside is, seen through the mirror."""
    if mirror is None:
        return url
    parts = urlsplit(url)
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}"


def _mirrored_package(package: Package, mirror: str | None) -> Package:
    if package.index is None:
        return package
    return msgspec.structs.replace(package, index=mirrored(package.index, mirror))


def _unusable(build: Build, why: str, fix: str | None = None) -> EngineUnusable:
    return EngineUnusable(
        f"{build.title} cannot be used here.",
        why=why,
        fix=fix or "localllm engine list shows what else there is",
    )
