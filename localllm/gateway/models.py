"""`GET /v1/models`: what is served, with what an agent needs to know of it."""

from __future__ import annotations

from aiohttp import web

from localllm.errors import ModelNotFound
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted


def render_entry(hosted: Hosted, created: int) -> dict[str, object]:
    """One entry, in OpenAI's shape, with the context in the words of those who read it.

    `context_length` is OpenRouter's name for it, `meta.n_ctx` llama.cpp's, which Crush reads.
    """
    planned = hosted.planned
    return {
        "id": planned.stored.id,
        "object": "model",
        "created": created,
        "owned_by": "localllm",
        "context_length": planned.plan.context,
        "state": hosted.state.value,
        "meta": {
            "n_ctx": planned.plan.context,
            "n_ctx_train": planned.header.context_trained,
            "n_params": planned.header.parameters,
            "size": planned.stored.file_bytes,
        },
    }


class Models:
    """Lists the fleet's models.

    Args:
        created: Unix seconds; the daemon's start, since a served model has no date of its own.
    """

    def __init__(self, fleet: Fleet, created: int) -> None:
        self._fleet = fleet
        self._created = created

    async def list(self, _request: web.Request) -> web.Response:
        models = dict.fromkeys(h.planned.stored.id for h in self._fleet.instances())
        answering = [h for model in models if (h := self._fleet.names.find(model)) is not None]
        entries = [render_entry(h, self._created) for h in answering]
        return web.json_response({"object": "list", "data": entries})

    async def show(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        hosted = self._fleet.names.find(name)
        if hosted is None:
            raise ModelNotFound(
                f"The model {name!r} is not served.",
                why="no running model answers to this name",
                fix="GET /v1/models lists them",
            )
        return web.json_response(render_entry(hosted, self._created))
