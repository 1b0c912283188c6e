"""A service as the tests want one, and the system's programs as a table of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from localllm.service.manager import Said
from localllm.service.wanted import Wanted


def a_service(**changes: object) -> Wanted:
    usual = Wanted(
        python="/opt/localllm/bin/python",
        environment={"LOCALLLM_HOME": "/home/me/llm", "PATH": "/usr/bin:/bin"},
        log="/home/me/llm/state/logs/daemon.log",
    )
    return msgspec.structs.replace(usual, **changes)


@dataclass(slots=True)
class Scripted:
    """Answers as it is told to, by the beginning of a command; else that all is well."""

    answers: dict[str, list[Said]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, words: Sequence[str]) -> Said:
        line = " ".join(words)
        self.asked.append(line)
        for beginning, said in self.answers.items():
            if line.startswith(beginning):
                return said.pop(0) if len(said) > 1 else said[0]
        return Said(0, "", "")
