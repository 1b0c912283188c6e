"""One file, by its address and its hash: in ranges, resumed where it was cut, hashed as it is written.

What is kept between attempts, and between processes, is the part that has come so far, which gets
the file's name once its hash is right. A file of that name is therefore always whole.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio

from localllm.errors import NoSpace
from localllm.transfer.asking import Asking
from localllm.transfer.disk import require_space, while_writing
from localllm.transfer.failures import wrong_content
from localllm.transfer.fetching import Fetching
from localllm.transfer.manner import Manner
from localllm.transfer.part import QUARANTINED_ENDING, Part, discard
from localllm.transfer.session import Session
from localllm.transfer.wanted import Wanted


async def download(
    session: Session, wanted: Wanted, whole: Path, manner: Manner | None = None
) -> None:
    """Bring a file to `whole`, unless it is there.

    Whatever ends it, the process being killed included, loses nothing of what has come.

    Raises:
        NoNetwork: The server is out of reach, or refuses; Refused, with its status, if it does.
        WrongContent: What it sends is not what is wanted, twice.
        NoSpace: The disk is too full; what has come is kept.
        DiskFailed: The disk does not take it for another reason.
    """
    manner = manner or Manner()
    with while_writing(wanted.name, whole.parent):
        if not await anyio.Path(whole).exists():
            await anyio.to_thread.run_sync(lambda: whole.parent.mkdir(parents=True, exist_ok=True))
            await _bring(session, wanted, whole, manner)
    manner.tell(wanted.size_bytes)


async def _bring(session: Session, wanted: Wanted, whole: Path, manner: Manner) -> None:
    found = await _attempt(session, wanted, whole, manner)
    if found != wanted.digest.hex:  # a proxy's error page, a broken part: once more, from 0
        found = await _attempt(session, wanted, whole, replace(manner, head=b""))
    if found != wanted.digest.hex:
        title = wanted.digest.title
        raise wrong_content(wanted, f"its {title} is {found}, not {wanted.digest.hex}")


async def _attempt(session: Session, wanted: Wanted, whole: Path, manner: Manner) -> str:
    """Fetch what is lacking and hash all of it; give it its name if that is right, else set it aside."""
    part = await anyio.to_thread.run_sync(Part, whole, wanted.size_bytes)
    try:
        await anyio.to_thread.run_sync(_make_room, part, wanted, whole, manner)
        found = await Fetching(Asking(session, wanted), part, manner).run()
        quarantine = _quarantine(whole)
        if found == wanted.digest.hex:
            await anyio.to_thread.run_sync(part.settle, whole)
            quarantine.unlink(missing_ok=True)
        else:
            part.set_aside(whole, quarantine)
    finally:
        part.close()
    return found


def _make_room(part: Part, wanted: Wanted, whole: Path, manner: Manner) -> None:
    """Have the disk's room for all of it; what is in quarantine goes first, if it is in the way."""
    lacking = max(0, wanted.size_bytes - part.allocated_bytes)
    try:
        require_space(wanted.name, whole.parent, lacking, manner.if_full)
    except NoSpace:
        quarantine = _quarantine(whole)
        if not quarantine.exists():
            if not part.here.total:
                discard(whole)  # nothing has come that would be worth to be kept
            raise
        quarantine.unlink()
        require_space(wanted.name, whole.parent, lacking, manner.if_full)
    part.reserve()
    if manner.head and not part.here.total:
        part.write(0, manner.head[: wanted.size_bytes])


def _quarantine(whole: Path) -> Path:
    return whole.with_name(whole.name + QUARANTINED_ENDING)
