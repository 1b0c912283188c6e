"""Results of examinations on disk, so that a model may be compared with one that is not served now.

One file for each model file, engine and kind of check; each carries its format's version, and one that
a newer version wrote is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localllm.quality.facts import Facts
from localllm.versioned import Kind, read_if_known, write_versioned

FORMAT = 1
KEPT = 40
"""The oldest go."""

_ENDING = ".json"


class Kept(msgspec.Struct, frozen=True):
    """One file."""

    format: int
    verdict: str
    facts: Facts


KIND = Kind("what an examination found", Kept, FORMAT)


def keep(folder: Path, facts: Facts, verdict: str) -> Path:
    """Write a result in the place of an earlier one of the same; the oldest of too many go.

    Raises:
        NewerFile: A later version has written one of the same, which stays.
        OSError: The disk is full, or not to be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / _name(facts)
    write_versioned(file, KIND, Kept(FORMAT, verdict, facts))
    ours = [one for one in _by_age(folder) if read_if_known(one, KIND) is not None]
    for old in ours[KEPT:]:
        old.unlink(missing_ok=True)
    return file


def read_kept(folder: Path) -> Sequence[Kept]:
    """Read them all, the newest first; broken ones and those of another version are passed over."""
    read = (read_if_known(file, KIND) for file in _by_age(folder))
    return [kept for kept in read if kept is not None]


def earlier_of(kept: Sequence[Kept], facts: Facts) -> Facts | None:
    """Find what a model is held to where nobody named another: an earlier result that was in order.

    Of the same file rather than of another quantization; of the same engine rather than of another.
    """
    subject = facts.subject
    known = [
        one.facts
        for one in kept
        if _is_a_measure(one, subject.file)
        and one.facts.subject.tokenizer_key == subject.tokenizer_key
        and one.facts.texts_version == facts.texts_version
        and one.facts.at < facts.at
    ]
    return max(
        known,
        key=lambda one: (
            one.subject.file == subject.file,
            one.subject.engine == subject.engine,
            one.quick == facts.quick,
            one.at,
        ),
        default=None,
    )


def result_of(kept: Sequence[Kept], *, name: str, file: str | None, quick: bool) -> Facts | None:
    """Find a model's last result: by its file as it is now, or where that is not here, by its name.

    A full one does for a quick check, not the other way round.
    """
    fitting = [one.facts for one in kept if quick or not one.facts.quick]
    if file is not None:
        return next((one for one in fitting if one.subject.file == file), None)
    return next((one for one in fitting if one.subject.id == name), None)


def _is_a_measure(kept: Kept, file: str) -> bool:
    """Whether it was in order; one that is worse than another is still a measure of itself."""
    return kept.verdict == "ok" or (kept.verdict == "worse" and kept.facts.subject.file == file)


def _name(facts: Facts) -> str:
    subject = facts.subject
    told = f"{subject.file}\n{subject.engine}\n{facts.quick}"
    plain = "".join(c if c.isalnum() or c in "-." else "-" for c in subject.id)[:60]
    return f"{plain}-{hashlib.sha256(told.encode()).hexdigest()[:12]}{_ENDING}"


def _by_age(folder: Path) -> list[Path]:
    """List the newest first; whoever removes one meanwhile is welcome to."""
    aged: list[tuple[float, Path]] = []
    for file in folder.glob(f"*{_ENDING}"):
        try:
            aged.append((file.stat().st_mtime, file))
        except OSError:
            continue
    return [file for _, file in sorted(aged, reverse=True)]
