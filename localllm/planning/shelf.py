"""Answers what is on this disk, and removes or checks it; for the CLI and the daemon alike."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from localllm.api.store_views import CheckedView, RemovedView, StoreView, VerifiedView
from localllm.errors import BelongsElsewhere, InUse, LocalLLMError
from localllm.events import DeviceId
from localllm.planning.desk import Desk
from localllm.planning.finding import Meant, find_on_disk
from localllm.planning.fitting import Fitting, fittings
from localllm.planning.shelf_views import (
    is_served,
    render_checked,
    render_leftover,
    render_model,
)
from localllm.store.clearing import written_now
from localllm.store.emptying import is_fetched_now
from localllm.store.inventory import OnDisk, printable, read_inventory
from localllm.store.leftovers import read_leftovers
from localllm.store.places import hub_cache
from localllm.store.removal import plan_removal, remove
from localllm.store.revisions import cached_repository, read_cached
from localllm.store.verifying import Tell, files_once, set_aside, verify_file

_NAMED = 3


def models_here(desk: Desk) -> Sequence[OnDisk]:
    """List every model on this disk."""
    return read_inventory(desk.catalog(), desk.paths.data, desk.environment)


def show_store(
    desk: Desk,
    served: frozenset[Path],
    *,
    fit: bool,
    reclaimable: Mapping[DeviceId, int] | None = None,
) -> StoreView:
    """Answer `ls`.

    Args:
        served: Files that engines have open, links resolved.
        fit: Whether to plan each model, too.
        reclaimable: As `show_plan`.
    """
    cache = hub_cache(desk.environment)
    models = models_here(desk)
    verdicts = fittings(desk, models, reclaimable) if fit else {}
    return StoreView(
        cache=printable(str(cache)),
        free=_free_bytes(cache),
        models=[
            render_model(
                model, verdicts.get(model.name, Fitting()), served=is_served(model, served)
            )
            for model in models
        ],
        leftovers=[render_leftover(one) for one in read_leftovers(cache, time.time())],
    )


def remove_model(desk: Desk, name: str, served: frozenset[Path]) -> RemovedView:
    """Answer `rm`.

    Raises:
        ModelNotFound: None goes by this name, or several do.
        InUse: It is being served, or written.
        LocalLLMError: It is another program's, or the system refuses.
    """
    meant = find_on_disk(name, models_here(desk), desk)
    freed, kept = take_away(desk, meant, served)
    return RemovedView(removed=[meant.name], freed=freed, kept=kept)


def take_away(
    desk: Desk, meant: Meant, served: frozenset[Path], *, dry_run: bool = False
) -> tuple[int, list[str]]:
    """Remove a model from the shared cache; the bytes freed, and what stays all the same.

    Raises:
        LocalLLMError: As `remove_model`.
    """
    model = meant.model
    if model.where != "huggingface" or model.repo is None:
        raise _of_others(model)
    repository = cached_repository(hub_cache(desk.environment), model.repo)
    plan = plan_removal(read_cached(repository), model.weights, meant.only)
    going = [*plan.names, *(repository.blob(blob) for blob in plan.blobs)]
    open_now = any(Path(os.path.realpath(path)) in served for path in going)
    if open_now or is_served(model, served):
        raise _is_served(model)
    if is_fetched_now(repository):
        raise written_now(repository)
    freed = plan.freed_bytes
    if not dry_run:
        freed = remove(repository, model.weights, meant.only, sweep)
    return freed, _staying(model, plan.kept)


def verify(desk: Desk, name: str | None, tell: Tell) -> VerifiedView:
    """Answer `verify`: read a model's files, or all, and set aside what is damaged in the cache.

    Args:
        name: None: every model.
        tell: Which file, how many bytes of it have been read, and how many there are.

    Raises:
        ModelNotFound: As `remove_model`.
    """
    models = models_here(desk)
    if name is not None:
        models = [find_on_disk(name, models, desk).model]
    cache = hub_cache(desk.environment)
    checked = [_check(model, file, cache, tell) for model, file in files_once(models)]
    return VerifiedView(files=checked)


def sweep(shared: Path, cache: Path) -> int:
    """Free contents in the store that repositories share, if none needs them any more."""
    from localllm.store.hub import sweep_shared  # noqa: PLC0415  # half a second, rarely needed

    return sweep_shared(shared, cache)


def _check(model: OnDisk, file: Path, cache: Path, tell: Tell) -> CheckedView:
    checked = verify_file(model, file, cache, tell)
    done = None
    if checked.outcome == "damaged":
        try:
            done = set_aside(model, checked, cache, sweep)
        except LocalLLMError as error:
            done = f"it could not be set aside: {error.why}"
    return render_checked(model, checked, done)


def _free_bytes(cache: Path) -> int:
    """On the disk where the cache is, or would be."""
    place = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
    return shutil.disk_usage(place).free


def _staying(model: OnDisk, kept: Sequence[str]) -> list[str]:
    if not kept:
        return []
    names = printable(", ".join(kept[:_NAMED])) + (", ..." if len(kept) > _NAMED else "")
    of = printable(model.repo or model.name)
    return [f"{len(kept)} other files of {of} stay, with what they may need: {names}."]


def _is_served(model: OnDisk) -> InUse:
    return InUse(
        f"{model.name} is being served, so it stays.",
        why="an engine has its files open, or will have them with the next request",
        fix=f"localllm stop {model.profile or model.name}, then localllm rm {model.name}",
    )


def _of_others(model: OnDisk) -> LocalLLMError:
    path = printable(str(model.path))
    match model.where:
        case "ollama":
            owner, fix = "Ollama's", f"ollama rm {model.name.removeprefix('ollama:')}"
        case "lmstudio":
            owner, fix = "LM Studio's", "delete it under My Models in LM Studio"
        case _:
            owner, fix = "of a Python package", "pip uninstall the package that carries it"
    return BelongsElsewhere(
        f"{model.name} is {owner}, and only listed here.",
        why=f"{path} is outside the Hugging Face cache",
        fix=fix,
    )
