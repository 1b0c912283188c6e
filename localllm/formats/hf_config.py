"""A Hugging Face `config.json`: what it states, and nothing made of it yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localllm.formats.errors import BadModelFile
from localllm.formats.json_text import bad_json, decode_object

WHAT = "a config.json"
MAX_CONFIG_BYTES = 1 << 20
"""The largest, with settings for each quantized layer, have some 200 KB."""

MAX_NUMBER = (1 << 32) - 1
MAX_LISTED = 4096
MAX_NAME = 64
TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where models that also see or hear keep what their language part is."""


def bad_config(why: str) -> BadModelFile:
    """The one error for whatever a sound config never holds."""
    return bad_json(WHAT, why)


@dataclass(frozen=True, slots=True)
class Config:
    """One object of the file; null is as good as absent."""

    values: Mapping[str, object]

    def part(self, name: str) -> Config | None:
        found = self.values.get(name)
        return Config(found) if isinstance(found, dict) else None

    def text(self, name: str) -> str | None:
        """A short text, such as a name; None where there is none."""
        found = self.values.get(name)
        return found if isinstance(found, str) and 0 < len(found) <= MAX_NAME else None

    def flag(self, name: str) -> bool | None:
        found = self.values.get(name)
        return found if isinstance(found, bool) else None

    def number(self, *names: str) -> int | None:
        """The first of these that is stated; None where none is.

        Raises:
            BadModelFile: It is not a whole number of 32 bits.
        """
        for name in names:
            found = self.values.get(name)
            if found is None:
                continue
            if isinstance(found, float) and found.is_integer():
                found = int(found)
            if type(found) is not int or not 0 <= found <= MAX_NUMBER:
                raise bad_config(f"{name} is not a whole number of 32 bits")
            return found
        return None

    def fraction(self, name: str) -> float | None:
        """A number between 0 and 1, such as the rotated share of a head."""
        found = self.values.get(name)
        if type(found) not in (int, float):
            return None
        assert isinstance(found, int | float)
        return float(found) if 0 <= found <= 1 else None

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """One number per layer; None where there are none."""
        found = self.values.get(name)
        if not isinstance(found, list) or not 0 < len(found) <= MAX_LISTED:
            return None
        if not all(type(each) is int and 0 <= each <= MAX_NUMBER for each in found):
            raise bad_config(f"{name} holds other things than whole numbers of 32 bits")
        return tuple(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """One text per layer; empty where there are none."""
        found = self.values.get(name)
        if not isinstance(found, list) or len(found) > MAX_LISTED:
            return ()
        return tuple(each for each in found if isinstance(each, str))


def parse_config(data: bytes) -> Config:
    """Read the whole file.

    Raises:
        BadModelFile: It is damaged or hostile.
    """
    return Config(decode_object(data, WHAT, most_bytes=MAX_CONFIG_BYTES))


def language_part(config: Config) -> Config:
    """Return what describes the language model: the whole, or a part of it."""
    for name in TEXT_PARTS:
        part = config.part(name)
        if part is not None:
            return language_part(part)
    return config
