"""A voice that answers by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localllm.quality.voice import Answer, Body

Script = Mapping[str, Callable[[Mapping[str, Any]], object]]


@dataclass
class ScriptedVoice:
    """Answers JSON documents; bytes are sent as they are, an int is a status, other paths are 404."""

    script: Script
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def ask(self, path: str, body: Body) -> Answer:
        self.asked.append((path, body))
        if path not in self.script:
            return Answer(404, b'{"error": {"message": "no such path"}}')
        told = self.script[path](body)
        if isinstance(told, Answer):
            return told
        return Answer(200, told if isinstance(told, bytes) else json.dumps(told).encode())
