"""`GET /v1/models`: what may be asked for, with what an agent needs to know of it.

Listed are the models that are served, and after them those on this disk that the first request
loads, with state `stopped`: who shows the list to choose from shows what can be had. Profiles
are among the `aliases` of their model, and its variants beside them, so that it is listed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import web

from localllm.catalog.profile import Profile
from localllm.errors import ModelNotFound
from localllm.gateway.callers import check_model
from localllm.gateway.middleware import CALLER
from localllm.gateway.model_entries import (
    Document,
    Entry,
    abilities_of,
    render_entry,
    render_list,
)
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.known_names import Shelf
from localllm.supervisor.naming import LONGER_THAN_ANY, Naming
from localllm.supervisor.resolving import Known, shown
from localllm.user_profiles import AS_IT_IS

_STOPPED = "stopped"


class Models:
    """Lists what may be asked for.

    Args:
        created: Unix seconds; the daemon's start, since a served model has no date of its own.
    """

    def __init__(self, naming: Naming, created: int) -> None:
        self._naming = naming
        self._created = created

    async def list(self, request: web.Request) -> web.Response:
        """List those that the caller may use."""
        may_use = request[CALLER].may_use
        entries = [entry for entry in await self._every() if may_use((entry.id, *entry.aliases))]
        return web.json_response(render_list([self._render(entry) for entry in entries]))

    async def entries(self) -> Sequence[Document]:
        """Render them all."""
        return [self._render(entry) for entry in await self._every()]

    async def _every(self) -> Sequence[Entry]:
        shelf, known = await self._naming.look()
        return [*self._served(shelf, known), *self._at_rest(shelf, known)]

    async def show(self, request: web.Request) -> web.Response:
        """Show whatever a name leads to, under that name if it says more than the model's."""
        name = request.match_info["id"]
        resolved = await self._naming.resolve(name)
        shelf, known = await self._naming.look()
        hosted = self._naming.fleet.names.find(resolved.name)
        if hosted is not None:
            entry = self._entry(hosted, shelf, known)
        else:
            entry = _find(self._at_rest(shelf, known), resolved.name or name)
        check_model(request[CALLER], entry.id, name, *entry.aliases)
        is_more = resolved.manner != AS_IT_IS or resolved.wanted is not None
        return web.json_response(self._render(entry) | ({"id": name} if is_more else {}))

    def _render(self, entry: Entry) -> Document:
        return render_entry(entry, self._created)

    def _served(self, shelf: Shelf, known: Known) -> Iterator[Entry]:
        """What requests mean that name nothing comes first: many clients take the first."""
        names = self._naming.fleet.names
        for model in sorted(known.served, key=lambda model: model != names.current):
            if (hosted := names.find(model)) is not None and not hosted.terms.is_guest:
                yield self._entry(hosted, shelf, known)

    def _entry(self, hosted: Hosted, shelf: Shelf, known: Known) -> Entry:
        planned = hosted.planned
        profile = _profile(planned.model, shelf)
        longest = self._naming.fleet.names.find(planned.model, LONGER_THAN_ANY) or hosted
        return Entry(
            id=planned.model,
            state=hosted.state.value,
            display_name=(profile and profile.name) or planned.header.name or planned.model,
            aliases=known.aliases_of(planned.model),
            variants=known.meanings[planned.model].variants,
            abilities=abilities_of(
                planned.task,
                profile,
                planned.header,
                sees=hosted.serving.projector_file is not None,
            ),
            context=max(longest.planned.plan.context, planned.plan.context),
            context_trained=planned.header.context_trained,
            parameters=planned.header.parameters,
            file_bytes=planned.stored.file_bytes,
        )

    def _at_rest(self, shelf: Shelf, known: Known) -> Iterator[Entry]:
        """What is here and nothing serves: a name of what is served means that."""
        for one in shelf.at_hand:
            meaning = known.meanings[one.name.lower()]
            if meaning.name != one.name or one.name in known.served:
                continue
            profile = _profile(one.name, shelf)
            yield Entry(
                id=one.name,
                state=_STOPPED,
                display_name=one.name if profile is None else profile.name,
                aliases=known.aliases_of(one.name),
                variants=meaning.variants,
                abilities=abilities_of(None, profile, None, sees=False),
                context_trained=None if profile is None else profile.context,
                parameters=None if profile is None else profile.parameters,
            )


def _profile(model: str, shelf: Shelf) -> Profile | None:
    return next((profile for profile in shelf.catalog if profile.id == model), None)


def _find(entries: Iterator[Entry], name: str) -> Entry:
    for entry in entries:
        if name in (entry.id, *entry.aliases):
            return entry
    raise ModelNotFound(
        f"The model {shown(name)} is not here.",
        why="its name is known, but its files are not on this disk, or load_on_request is off",
        fix=f"localllm up {name}; GET /v1/models lists what may be asked for",
    )
