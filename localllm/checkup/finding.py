"""One thing that was looked at, and what came of it. Pure: data, and the words that all checks share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from localllm.checkup.repairs import Repair
from localllm.wording.plain import plain


class Severity(StrEnum):
    """How bad it is; the order is that of getting worse."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""

    WARNING = "warning"
    """Works, but slower or less safely than it could, or not for long."""

    PROBLEM = "problem"
    """Something does not work, or others can read what is not theirs."""


class Area(StrEnum):
    """What it is about; the order is that of the report."""

    DAEMON = "daemon"
    DRIVER = "driver"
    ENGINE = "engine"
    MEMORY = "memory"
    DISK = "disk"
    PORTS = "ports"
    OTHERS = "other programs"
    SETTINGS = "settings"
    FILES = "files"
    SERVICE = "service"
    VERSIONS = "versions"
    HUB = "hub"
    PROXY = "proxy"
    AGENTS = "agents"
    POWER = "power"
    WSL = "wsl"
    CONTAINER = "container"
    CLOCK = "clock"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Finding:
    id: str
    """Stable, for programs: the area's word and the fact's, as in disk.read-only. Two findings may
    share one, about two places."""

    area: Area
    severity: Severity
    what: str
    """One sentence."""

    why: str | None = None
    """What it does to the user, and the numbers; None where all is well."""

    fix: str | None = None
    """A command, to be copied as it is; several are joined by && or ;. None where there is none."""

    repair: Repair | None = None
    """What `--fix` may do of itself; None: nothing."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of one repair."""

    finding: Finding
    did: str | None = None
    """What was done; None: nothing."""

    error: str | None = None


_COMMAND = re.compile(r"localllm(?: (?!shows?\b|names?\b|says?\b|or\b)[\w./:@=+-]+)+")
_SEVERITIES, _AREAS = tuple(Severity), tuple(Area)


def word(value: object) -> str:
    """Make one word of a command of a path or a name, whatever is in it: it is to be copied into a shell."""
    return shlex.quote(plain(str(value)))


def advised(
    why: str | None, cure: str | None, otherwise: str | None
) -> tuple[str | None, str | None]:
    """Part an error's cure into what explains and what is copied: it is a sentence, mostly, and no command.

    Returns:
        The finding's `why` and `fix`; the latter is `otherwise` where the cure is no command.
    """
    if cure is None or _COMMAND.fullmatch(cure):
        return why, cure or otherwise
    return "; ".join(one for one in (why, cure) if one), otherwise


def ok(id_: str, area: Area, what: str) -> Finding:
    """All is well with one thing."""
    return Finding(id_, area, Severity.OK, what)


def sorted_for_people(findings: Iterable[Finding]) -> list[Finding]:
    """Put the worst first, and within that keep areas together."""
    return sorted(
        findings,
        key=lambda one: (-_SEVERITIES.index(one.severity), _AREAS.index(one.area), one.id),
    )


def worst(findings: Iterable[Finding]) -> Severity:
    """Tell how bad it is at all."""
    found = [_SEVERITIES.index(one.severity) for one in findings]
    return _SEVERITIES[max(found, default=0)]
