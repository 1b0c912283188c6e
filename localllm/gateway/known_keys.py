"""The API keys as they are now: the file is read anew when it has changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from localllm.api.key_file import Stamp, read_keys, read_stamp
from localllm.api.keys import Key
from localllm.errors import ConfigError
from localllm.gateway.access import Rules

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class KnownKeys:
    """Reads the keys for those who are asked with each request; a look costs microseconds.

    Args:
        rules: Without keys.
    """

    file: Path
    rules: Rules
    _stamp: Stamp | None = field(default=None, init=False)

    def current_rules(self) -> Rules:
        """Give the rules with the keys of this moment: one that was taken away is no key any more."""
        stamp = read_stamp(self.file)
        if stamp != self._stamp:
            self._stamp = stamp
            self.rules = replace(self.rules, keys=self._read())
            _log.info("API keys were read: count=%d", len(self.rules.keys))
        return self.rules

    def _read(self) -> tuple[Key, ...]:
        """Read the file; no key is any good while it cannot be read."""
        try:
            return read_keys(self.file)
        except ConfigError as error:
            _log.error("no API key is accepted: %s", error)
            return ()
