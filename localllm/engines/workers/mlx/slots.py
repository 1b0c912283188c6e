"""What the mlx worker's slots hold, and what is asked of them, in llama.cpp's words. Pure.

mlx-lm finds kept prompts by their tokens and knows no slots. A slot here is a name for the tokens
that the last request sent to it has left among them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from localllm.engines.workers.http import Refusal, invalid

_PATH = re.compile(r"/slots/(?P<slot>[^/?]*)(?:\?action=(?P<action>[^&]*))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_LONGEST_NUMBER = 9


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

    Raises:
        Refusal: There is no such slot or action, or the name is not plain.
    """
    asked = _PATH.fullmatch(path)
    if asked is None:
        return None
    number = asked["slot"]
    if not number.isdecimal() or len(number) > _LONGEST_NUMBER or int(number) >= slots:
        raise invalid(f"there is no slot {number[:20]}, they go up to {slots - 1}")
    try:
        action = Action(asked["action"] or "")
    except ValueError as error:
        raise invalid("a slot is asked to ?action=save, restore or erase") from error
    file = "" if action is Action.ERASE else body.get("filename")
    if action is not Action.ERASE and not (isinstance(file, str) and _NAME.fullmatch(file)):
        raise invalid("filename: a plain name, without slashes, that does not begin with a dot")
    return SlotRequest(int(number), action, str(file))


def no_folder() -> Refusal:
    """Refuse as llama.cpp's server does that was given none."""
    return Refusal(
        HTTPStatus.NOT_IMPLEMENTED,
        "This engine was started without a folder for what its slots hold",
        "not_supported_error",
    )


class Slots:
    """Which tokens each slot's last request has left. Used by one thread alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._reading: dict[int, Sequence[int]] = {}
        """Prompts of requests on their way; the last that began comes last."""

        self._held: dict[int, Sequence[int]] = {}

    def begin(self, slot: int | None, prompt: Sequence[int]) -> None:
        """Note that a request begins there; what a slot held is not its own any more."""
        if slot is not None and 0 <= slot < self._count:
            self.forget(slot)
            self._reading[slot] = prompt

    def note(self, kept: Sequence[int]) -> None:
        """Note what is kept now: a part of a prompt, or one with its answer.

        It is not told whose it is. Requests with the very same prompt may thus be taken for each
        other, which does no harm: what they hold is of equal use to both.
        """
        ended = [slot for slot, prompt in self._reading.items() if _begins(kept, prompt)]
        if ended:
            slot = max(reversed(ended), key=lambda one: len(self._reading[one]))
            del self._reading[slot]
            self._held[slot] = kept
        for slot, prompt in self._reading.items():
            if _begins(prompt, kept) and len(kept) > len(self._held.get(slot, ())):
                self._held[slot] = kept

    def put(self, slot: int, tokens: Sequence[int]) -> None:
        """Note what was put there."""
        self.forget(slot)
        self._held[slot] = tokens

    def held(self, slot: int) -> Sequence[int]:
        """Tell what a slot holds; nothing, as far as is known, if it is empty."""
        return self._held.get(slot, ())

    def forget(self, slot: int) -> None:
        """Have a slot hold nothing."""
        self._held.pop(slot, None)
        self._reading.pop(slot, None)


def _begins(whole: Sequence[int], part: Sequence[int]) -> bool:
    return whole[: len(part)] == part
