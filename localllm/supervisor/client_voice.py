"""Lets those who examine a model ask through a client, of an engine or of the gateway, without knowing HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.engine_client.client import EngineClient
from localllm.engine_client.posting import BrokeOff, post_document
from localllm.quality.voice import Answer, Body, Silent


@dataclass(frozen=True, slots=True)
class ClientVoice:
    """Asks one thing after the other."""

    client: EngineClient

    async def ask(self, path: str, body: Body) -> Answer:
        """Post a JSON document.

        Raises:
            Silent: There was no answer, or it broke off.
        """
        try:
            return Answer(*await post_document(self.client, path, body))
        except BrokeOff as error:
            raise Silent(str(error)) from error
