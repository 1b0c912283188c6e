"""The files that localllm keeps: of which version each is, and whether it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.odd_files import Odd, Oddity, look_over
from localllm.paths import Paths
from localllm.state_files import STATE_FILES, place_of

_A = Area.FILES


def check_state_files(known: Known) -> Iterator[Finding]:
    """Whether each file can be read by this version."""
    paths = known.place.paths
    odd = [one for one in look_over(paths) if one.file != paths.daemon_file]  # check_daemon's
    found = [_of_odd(one) for one in odd]
    found += [_unreadable(file, why, what) for file, what, why in _closed(paths)]
    yield from found
    if not any(one.severity in {Severity.WARNING, Severity.PROBLEM} for one in found):
        yield ok("files.versions", _A, "All files of ours are of versions that this one knows.")


def _of_odd(odd: Odd) -> Finding:
    match odd.oddity:
        case Oddity.NEWER:
            return Finding(
                "files.newer",
                _A,
                Severity.PROBLEM,
                f"{odd.file} was written by a newer localllm.",
                f"it is of version {odd.version}, this one knows up to {odd.kind.version}; "
                f"{odd.kind.newer}",
                "localllm upgrade",
            )
        case Oddity.DAMAGED:
            return Finding(
                "files.damaged",
                _A,
                Severity.WARNING,
                f"{odd.file} is damaged.",
                f"it says no version; {odd.kind.what} is lost ({odd.kind.damaged})",
                f"mv {word(odd.file)} {word(odd.file)}.broken",
            )
        case Oddity.SET_ASIDE:
            return Finding(
                "files.set-aside",
                _A,
                Severity.NOTE,
                f"{odd.file} was damaged, and a new one was begun.",
                f"it is kept in case you can make use of it ({odd.kind.what})",
                f"rm {word(odd.file)}",
            )


def _closed(paths: Paths) -> Iterator[tuple[Path, str, str]]:
    """Files that the system does not let us read; each with what it is, and why."""
    for kind in STATE_FILES:
        if kind.version is None or kind.many:
            continue
        for file in sorted(place_of(paths, kind.place).glob(kind.pattern)):
            try:
                file.open("rb").close()
            except FileNotFoundError:
                continue
            except OSError as error:
                yield file, kind.what, error.strerror or str(error)


def _unreadable(file: Path, why: str, what: str) -> Finding:
    return Finding(
        "files.unreadable",
        _A,
        Severity.PROBLEM,
        f"{file} cannot be read.",
        f"{why}; {what} is in it",
        f"ls -l {word(file)}",
    )
