"""What a scene does when it is told to do something: notes it, and begins it. Tests have it go on."""

from __future__ import annotations

from typing import Any

import msgspec

from localllm.api.pull_views import EngineFetchView, PullRequest, PullView, ThenView
from localllm.api.views import PinReply, PlanRequest, ServeReply, ServeRequest, StopReply
from localllm.errors import NotFound
from tests.fakes.scene import Scene
from tests.fakes.scene_parts import a_model, a_pull, an_instance, not_up


def serve(scene: Scene, verb: str, name: str | None, body: dict[str, Any]) -> ServeReply:
    """Begin to serve it: a model more that is starting. `arrive` ends a switch."""
    wanted = ServeRequest(**body)
    model = name if name not in (None, "localllm") else wanted.model or "qwen3-8b"
    scene.note(verb, model, body)
    if verb == "switch":
        _outdo(scene)
    return begin(scene, model, body)


def begin(scene: Scene, model: str, body: dict[str, Any]) -> ServeReply:
    """Have a model start, whoever asked for it."""
    plan = scene.plan(scene.hardware, PlanRequest(**{**body, "model": model}))
    chosen = plan.candidates[plan.choice or 0]
    view = an_instance(
        model,
        quant=chosen.quant,
        context=chosen.context or 4_096,
        device="+".join(part.device for part in chosen.placement),
        total=(chosen.memory.total if chosen.memory else 0) / (1 << 30),
    )
    if any(view.instance == one.instance for one in scene.instances()):
        return ServeReply(
            id=model, instance=view.instance, already=True, stand_in=False, reason="it is served"
        )
    begun = not_up(view, "starting", "its engine was started")
    scene.models = [*scene.models, a_model(begun, generated=0, read=0, first_token=None)]
    scene.tell(
        "state", begun.why, model=model, instance=view.instance, old="stopped", new="starting"
    )
    return ServeReply(
        id=model, instance=view.instance, already=False, stand_in=False, reason=chosen.reason
    )


def arrive(scene: Scene, name: str) -> None:
    """End a switch: it is ready and current, and those that were, are gone."""
    new = scene.find(name).view
    before = [view for view in scene.instances() if view.current and view is not new]
    scene.move(new.instance, "ready", "it answered its first chat")
    scene.change(new.instance, current=True, gap=0.0)
    for old in before:
        scene.drop(old.instance)
    scene.tell(
        "switched",
        f"it has taken over from {before[0].id if before else 'nobody'}",
        model=new.id,
        instance=new.instance,
    )


def unload(scene: Scene, name: str) -> StopReply:
    scene.note("unload", name)
    view = scene.find(name).view
    scene.drop(view.instance)
    scene.tell("state", "stopped by the user", model=view.id, instance=view.instance, new="stopped")
    return StopReply(stopped=[view.id])


def pin(scene: Scene, name: str, *, pinned: bool) -> PinReply:
    verb = "pin" if pinned else "unpin"
    scene.note(verb, name)
    view = scene.find(name).view
    scene.change(view.instance, pinned=pinned)
    scene.tell(f"{verb}ned", "by the user", model=view.id, instance=view.instance)
    return PinReply(id=view.id, pinned=pinned)


def pull(scene: Scene, body: dict[str, Any]) -> PullView:
    """Begin to fetch: it stands still until a test has it go on, as with `have_pulled`."""
    wanted = PullRequest(**body)
    scene.note("pull", wanted.model or "", body)
    begun = a_pull(
        len(scene.pulls) + 1,
        wanted.model or "qwen3-8b",
        quant=wanted.quant or "Q4_K_M",
        here=0,
        speed=None,
        left=None,
        then=_then(wanted, body),
    )
    if wanted.then == "switch":
        _outdo(scene)
    scene.pulls = [begun, *scene.pulls]
    scene.tell("pull", "asked for", model=begun.model, pull=begun.id, old="queued", new="fetching")
    return begun


def _then(wanted: PullRequest, body: dict[str, Any]) -> ThenView | None:
    if wanted.then is None:
        return None
    said = {k: v for k, v in body.items() if k in ServeRequest.__struct_fields__}
    request = ServeRequest(**{**said, "quant": None})
    return ThenView(how=wanted.then, request=request, reply=None, error=None)


def _outdo(scene: Scene) -> None:
    """What waits to be served is fetched only: something newer is asked for."""
    for one in scene.pulls:
        if one.then is not None and one.then.reply is None:
            scene.change_pull(one.id, then=None)


def have_pulled(scene: Scene, which: str) -> None:
    """All of it has come; what is to be served then, starts."""
    old = next(one for one in scene.pulls if one.id == which)
    then = old.then
    if then is not None:
        body = {"context": then.request.context}
        then = msgspec.structs.replace(then, reply=begin(scene, old.model, body))
    scene.change_pull(which, "done", here=old.size, then=then)


def fetch_engine(scene: Scene, which: str, here: int | None, size: int = 200 << 20) -> None:
    """Have so much of the engine here that a model waits for; None: all of it, and proved."""
    told = None
    if here is not None:
        told = EngineFetchView(file="llama-b6000.tar.gz", here=here, size=size)
    old = next(one for one in scene.pulls if one.id == which).then
    scene.change_pull(which, then=msgspec.structs.replace(old, engine=told))


def on_pull(scene: Scene, verb: str, which: str) -> PullView:
    scene.note(verb, which)
    match verb:
        case "pause":
            return scene.change_pull(which, "paused", note="paused by the user")
        case "resume":
            return scene.change_pull(which, "fetching", speed=94e6, left=120.0, note=None)
        case "cancel":
            return scene.change_pull(which, "cancelled", here=0, then=None)
    raise NotFound(f"Nothing answers to {verb}.", why="it is no verb", fix="correct it")
