"""Who is examined: one instance with its plan, and what makes it comparable with others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localllm.engine_client.client import Speed
from localllm.engines.base import Serving
from localllm.events import InstanceId
from localllm.planning.planner import Planned
from localllm.quality import facts
from localllm.quality.tokens import Tongue
from localllm.supervisor.tokenizers import tokenizer_key


@dataclass(frozen=True, slots=True)
class Examinee:
    """One that is about to be."""

    planned: Planned
    serving: Serving
    instance: InstanceId
    how: str
    """quick or full."""

    speed: Speed

    @property
    def tongue(self) -> Tongue:
        return Tongue(self.planned.choice.installed.engine, self.serving.alias)

    def subject(self, name: str | None = None) -> facts.Subject:
        """Say what it is; looks at its file.

        Args:
            name: What people call it, where it is served under another name.
        """
        planned, installed = self.planned, self.planned.choice.installed
        return facts.Subject(
            id=name or planned.stored.id,
            file=identity_of_file(planned.stored.file),
            tokenizer_key=tokenizer_key(planned.header),
            engine=installed.engine,
            engine_version=installed.version or "",
            quant=planned.header.quantization,
            context=planned.plan.context,
            parameters=planned.header.parameters or None,
            has_template=planned.header.has_chat_template,
        )


def identity_of_file(file: Path) -> str:
    """Tell a model's file, or folder, from others without reading it."""
    try:
        real = file.resolve()
        stat = real.stat()
    except OSError:
        return str(file)
    return f"{real} {stat.st_size} {stat.st_mtime_ns}"
