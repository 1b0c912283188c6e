"""What a name in a request means: which model, answering in which manner. Pure.

Names are compared in small letters. Many have colons of their own (qwen3:8b, hf:owner/repo:Q4_K_M),
so the longest one that is known counts, and what is behind it is the manner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

import msgspec

from localllm.api.views import ServeRequest
from localllm.engines.base import Task
from localllm.errors import ModelNotFound
from localllm.store.names import parse_repository_name
from localllm.user_profiles import AS_IT_IS, Manner

WHATEVER = "localllm"
"""The name that means: whatever is served."""

LONGEST = 256
"""Characters; a longer name is nobody's, and is compared with none."""

_NOBODYS = (
    "no other model, profile or variant here has that name",
    "GET /v1/models lists what may be asked for",
)
_HOSTED_OFF = (
    "that is the name of a hosted model, and means nothing here",
    f"ask for {WHATEVER}, which is what is served, or set hosted = true under [names] in config.toml",
)
"""Why and fix: most clients have such a name built in."""

_NEAR = 3
_SHOWN = 80
_QUANTIZATION = re.compile(
    r"(?:ud-|i1-)?(?:[it]?q\d|b?f(?:p)?\d|mxfp\d|nvfp\d|int\d|\d+bit|awq|gptq)"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one name leads to."""

    name: str
    """Who answers is found by this."""

    manner: Manner = AS_IT_IS
    """Of a profile of the user's own: its sampling."""

    variants: Mapping[str, Manner] = field(default_factory=dict[str, Manner])
    """By what may come behind the name's colon."""

    wanted: ServeRequest | None = None
    """What is loaded where nobody answers; None: the model of this name."""


@dataclass(frozen=True, slots=True)
class Known:
    """All names that mean something."""

    meanings: Mapping[str, Meaning]
    """By name in small letters."""

    served: Sequence[str] = ()
    """Ids of models."""

    meant: Mapping[Task, str] = field(default_factory=dict[Task, str])
    """What `localllm` means, by what is to be done; itself where that is what requests get that
    name nothing: then it is found out as late as may be, since it changes with a switch."""

    hosted: Sequence[tuple[str, str | Task]] = ()
    """Patterns in small letters of names that nothing here has, and what they mean: a name, or
    whatever does something. The first that matches counts."""

    elsewhere: frozenset[str] = frozenset()
    """Names that a remote answers to where nothing here does."""

    listed: Sequence[str] = ()
    """Names to propose for one that nobody has."""

    hosted_off: Sequence[str] = ()
    """Patterns of names that would mean something with `hosted = true`."""

    def aliases_of(self, model: str) -> Sequence[str]:
        """The other names that lead to a model; not those with a quantization behind another."""
        names = [name for name, meaning in self.meanings.items() if meaning.name == model]
        shorter = {*names, "hf"}
        return tuple(
            name
            for name in names
            if name != model.lower() and name.rpartition(":")[0] not in shorter
        )


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a request's name means."""

    name: str | None
    """Who answers is found by this; None: whoever does."""

    manner: Manner = AS_IT_IS
    wanted: ServeRequest | None = None
    """As in `Meaning`; with the context that the manner wants."""


def resolve_name(asked: str, known: Known, task: Task = Task.WRITE) -> Resolved:
    """Find what a name means.

    Args:
        task: What is asked of it, for names that mean whatever is served.

    Raises:
        ModelNotFound: Nothing; it says which names come near, or which variants there are.
    """
    found = _resolved(asked, known, task) if len(asked) <= LONGEST else None
    if found is None:
        raise _unknown(asked, known)
    return found


def _resolved(asked: str, known: Known, task: Task) -> Resolved | None:
    if (meaning := _meaning(asked, known, task)) is not None:
        return _in_manner(meaning, AS_IT_IS)
    base, _, ending = asked.rpartition(":")
    meaning, ending = _meaning(base, known, task), ending.lower()
    if meaning is not None and ending in meaning.variants:
        return _in_manner(meaning, meaning.variants[ending])
    if meaning is not None and _QUANTIZATION.match(ending):
        return Resolved(asked)  # not the one that is served; it may be here all the same
    meant = _meant_by_hosted(asked.lower(), known)
    if meant is not None:
        return _resolved(meant, replace(known, hosted=()), task)
    if asked in known.elsewhere or parse_repository_name(asked) is not None:
        return Resolved(asked)
    if meaning is not None:
        raise _no_variant(base, ending, meaning)
    return None


def _meaning(name: str, known: Known, task: Task) -> Meaning | None:
    lower = name.lower()
    if lower == WHATEVER and known.meant.get(task, WHATEVER) != WHATEVER:
        lower = known.meant[task].lower()
    return known.meanings.get(lower)


def _meant_by_hosted(asked: str, known: Known) -> str | None:
    for pattern, meant in known.hosted:
        if fnmatchcase(asked, pattern):
            return known.meant.get(meant, WHATEVER) if isinstance(meant, Task) else meant
    return None


def _in_manner(meaning: Meaning, manner: Manner) -> Resolved:
    wanted = meaning.wanted
    if manner.context is not None:
        wanted = wanted or ServeRequest(model=meaning.name)
        wanted = msgspec.structs.replace(wanted, context=manner.context)
    return Resolved(meaning.name, over(manner, meaning.manner), wanted)


def over(manner: Manner, under: Manner) -> Manner:
    """Put one manner over another: what it leaves open is as in the other."""
    if under == AS_IT_IS:
        return manner
    values = ((name, getattr(manner, name)) for name in Manner.__struct_fields__)
    said = {name: value for name, value in values if value is not None}
    return msgspec.structs.replace(under, **said)


def near(asked: str, names: Sequence[str]) -> Sequence[str]:
    """Find the names that may have been meant, the nearest first."""
    return get_close_matches(asked.lower(), names, n=_NEAR) if len(asked) <= LONGEST else ()


def _unknown(asked: str, known: Known) -> ModelNotFound:
    is_hosted = len(asked) <= LONGEST and any(
        fnmatchcase(asked.lower(), pattern) for pattern in known.hosted_off
    )
    there = near(asked, sorted(known.elsewhere) if is_hosted else known.listed)
    proposed = f": did you mean {' or '.join(there)}?" if there else "."
    nobody, help_ = _HOSTED_OFF if is_hosted else _NOBODYS
    return ModelNotFound(
        f"The model {shown(asked)} is not served{proposed}",
        why=f"served now: {', '.join(sorted(known.served)) or 'none'}; {nobody}",
        fix=f"ask for {there[0]}" if there else help_,
    )


def _no_variant(base: str, ending: str, meaning: Meaning) -> ModelNotFound:
    there = ", ".join(f"{base}:{name}" for name in meaning.variants)
    return ModelNotFound(
        f"{shown(base)} has no variant {shown(ending)}.",
        why=f"there are {there}" if there else "it has none",
        fix=f"ask for {base}, or write [profiles.NAME.variants] in config.toml",
    )


def shown(name: str) -> str:
    """Quote a name that a client sent, or its beginning."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
