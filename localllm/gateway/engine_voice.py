"""Lets those who examine a model ask the engine of one that is served, in turn with everybody's requests."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.engine_client.client import EngineClient
from localllm.engine_client.posting import BrokeOff, post_document
from localllm.gateway.placing import Placing
from localllm.quality.voice import Answer, Body, Silent
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Asking, Lending

_COMPUTES = frozenset({"/completion", "/score", "/v1/completions", "/generate"})
"""Paths that take a place at the engine; the others only cut and join texts."""

_WAIT_S = 120.0
_CLIENT = "localllm-check"


@dataclass(frozen=True, slots=True)
class EngineVoice:
    """Asks one thing after the other; each waits for its turn as a client's request does."""

    lending: Lending
    placing: Placing
    hosted: Hosted

    async def ask(self, path: str, body: Body) -> Answer:
        """Post a JSON document.

        Raises:
            Silent: There was no answer, or it broke off.
            LocalLLMError: The instance is not to be had any more, or is too busy.
        """
        if path not in _COMPUTES:
            client = self.lending.reach(self.hosted)
            if client is None:
                raise Silent("it is not served any more")
            return await _asked(client, path, body)
        asking = Asking(model=self.hosted.id, client=_CLIENT, tokens=0)
        async with self.lending.borrow(asking, _WAIT_S) as lent:
            slot = self.placing.keeping.spare_slot(lent.instance)
            placed = body if slot is None else {**body, "id_slot": slot}
            return await _asked(lent.client, path, placed)


async def _asked(client: EngineClient, path: str, body: Body) -> Answer:
    try:
        return Answer(*await post_document(client, path, body))
    except BrokeOff as error:
        raise Silent(str(error)) from error
