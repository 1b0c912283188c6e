"""What tokenizers made of the fixed text, on disk: other quantizations of a model are held to it.

A model is known by its name, its architecture and its sizes. What a file says of its tokenizer is
left out on purpose: where that is wrong, the count shows it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock
import msgspec

from localllm.catalog.profile import Profile
from localllm.engine_client.interview import CHECK_TEXT, Interview
from localllm.formats.header import Header
from localllm.supervisor.doubts import Known
from localllm.versioned import Kind, read_if_known, write_versioned

FORMAT = 1
KEPT = 200
_LOCK_WITHIN_S = 5.0
_TEXT = hashlib.sha256(CHECK_TEXT.encode()).hexdigest()[:16]

_STORAGE = re.compile(
    r"(?<![a-z0-9])(?:"
    r"i?q[1-8](?:[ _-](?:[01]|k|nl|xxs|xs|s|m|l|xl))*|tq[12]_0"
    r"|[2-8][ _-]?bits?|int[2-8]|w[48]a(?:8|16)"
    r"|bf16|fp?(?:4|8|16|32)|(?:mx|nv)fp[48](?:_moe)?"
    r"|ud|i1|gguf|mlx|awq|gptq|dwq|bnb|hqq|exl[23]"
    r")(?![a-z0-9])"
)
"""Words of a name that say how the weights are stored, and not which model it is."""

_NAMES = ("general.basename", "general.version", "general.finetune", "general.size_label")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    tokens: int
    told_by: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    text: str
    """Which text was cut: counts of another one say nothing."""

    entries: list[_Entry]


KIND = Kind("what tokenizers made of a text", _File, FORMAT)


def tokenizer_key(header: Header) -> str:
    """Name a model's tokenizer: the same for all quantizations of it that one maker has made.

    Makers who name a model differently give it two keys, and then nothing is compared.
    """
    name = _plain(header.name or "") or "".join(_plain(part) for part in _named(header))
    return f"{header.architecture} {name} {header.embedding} {header.vocabulary}"


def known_before(profile: Profile | None, file: Path, key: str) -> Known | None:
    """Tell what a new process is held to: what the profile says, else what the record does."""
    if profile is not None and profile.check_tokens is not None:
        return Known(profile.check_tokens, "its profile")
    return recall(file, key)


def recall(file: Path, key: str) -> Known | None:
    """Tell what a tokenizer made of the text when it was last noted; None if it never was."""
    found = (entry for entry in _read(file) if entry.key == key)
    return next((Known(entry.tokens, entry.told_by) for entry in found), None)


def note(file: Path, key: str, heard: Interview, told_by: str) -> None:
    """Keep what a tokenizer said, in the place of what was noted of it before.

    Args:
        told_by: As `Known` has it.

    Raises:
        NewerFile: A later version has written it; it stays.
        OSError: The disk is full, or not to be written; or nobody lets go of the lock.
    """
    if heard.tokens is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(file.with_suffix(".lock"), timeout=_LOCK_WITHIN_S):
        others = [entry for entry in _read(file) if entry.key != key]
        newest = [*others, _Entry(key, heard.tokens, told_by)][-KEPT:]
        write_versioned(file, KIND, _File(FORMAT, _TEXT, newest))


def _read(file: Path) -> Sequence[_Entry]:
    """Nothing if the file is missing, broken, of a later version, or about another text."""
    read = read_if_known(file, KIND)
    return () if read is None or read.text != _TEXT else read.entries


def _named(header: Header) -> Iterator[str]:
    for key in _NAMES:
        if isinstance(value := header.metadata.get(key), str):
            yield value


def _plain(name: str) -> str:
    """Letters and digits in lower case, without the words for how it is stored."""
    return re.sub(r"[\W_]+", "", _STORAGE.sub("", name.lower()))
