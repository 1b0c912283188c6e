"""What a worker is asked to do with its slots, in the words of llama.cpp's server. Touches nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localllm.engines.workers.http import Refusal, invalid

_PATH = re.compile(r"/slots/(?P<slot>[^/?]*)(?:\?action=(?P<action>.*))?")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_ .-]{0,127}")
_LONGEST_NUMBER = 9


def draft_of(file: Path) -> Path:
    """Where a file is written until it is whole; as it begins with a dot, nobody can ask for it."""
    return file.with_name(f".{file.name}.draft")


class Action(StrEnum):
    """What is done with a slot."""

    SAVE = "save"
    RESTORE = "restore"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class SlotRequest:
    slot: int
    action: Action
    file: str
    """A plain name; empty where something is erased."""


def slot_request(path: str, body: dict[str, Any], slots: int) -> SlotRequest | None:
    """Read what is asked of a slot; None if the path is another one.

    Args:
        slots: How many there are; their numbers begin with 0.

    Raises:
        Refusal: There is no such slot or action, or the name is not plain.
    """
    asked = _PATH.fullmatch(path)
    if asked is None:
        return None
    slot, action = _slot(asked["slot"], slots), _action(asked["action"] or "")
    return SlotRequest(slot, action, "" if action is Action.ERASE else _file(body))


def no_folder() -> Refusal:
    """Refuse as llama.cpp's server does that was given none."""
    return Refusal(
        HTTPStatus.NOT_IMPLEMENTED,
        "This engine was started without a folder for what its slots hold",
        "not_supported_error",
    )


def _slot(number: str, slots: int) -> int:
    if not number.isdecimal() or len(number) > _LONGEST_NUMBER or int(number) >= slots:
        raise invalid(f"there is no slot {number[:20]}, they go up to {slots - 1}")
    return int(number)


def _action(words: str) -> Action:
    try:
        return Action(words)
    except ValueError as error:
        raise invalid("a slot is asked to ?action=save, restore or erase") from error


def _file(body: dict[str, Any]) -> str:
    name = body.get("filename")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise invalid("filename: a plain name, without slashes, that does not begin with a dot")
    return name
