"""Which of a daemon's pulls have not ended, and which of them somebody means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from localllm.api.pull_views import PullView
from localllm.errors import ModelNotFound
from localllm.store.names import RepositoryName, parse_repository_name
from localllm.wording.plain import plain

UNDER_WAY = frozenset({"queued", "fetching"})
UNFINISHED = UNDER_WAY | {"paused", "failed"}
"""What has come of them is kept for whoever goes on."""


def unfinished(pulls: Iterable[PullView]) -> Sequence[PullView]:
    """Leave out those that are done or cancelled, but for those that are to be served yet."""
    return [p for p in pulls if p.state in UNFINISHED or is_about_to_be_served(p)]


def is_about_to_be_served(pull: PullView) -> bool:
    """Whether all of it is here, and it is to be served, and is not yet."""
    then = pull.then
    return pull.state == "done" and then is not None and then.reply is None and then.error is None


def find_pull(pulls: Iterable[PullView], model: str, quant: str | None, hub: str) -> PullView:
    """Find the one that a user means: by its number, its model, or its repository.

    Args:
        quant: None is any.
        hub: Whose addresses are names, too.

    Raises:
        ModelNotFound: There is none, or there are several.
    """
    left = unfinished(pulls)
    found = [pull for pull in left if _is_meant(pull, model, quant, hub)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(plain(f"{pull.model} ({pull.id})") for pull in found or left)
    if found:
        raise ModelNotFound(
            f"{plain(model)} means {len(found)} pulls that have not ended.",
            why=f"there are {names}",
            fix="give one of these names, or its number",
        )
    raise ModelNotFound(
        f"No pull of {plain(model)} has been begun that has not ended.",
        why=f"there are {names}" if left else "there are none at all",
        fix="localllm pull shows them; localllm rm removes a model that is here",
    )


def _is_meant(pull: PullView, model: str, quant: str | None, hub: str) -> bool:
    if model == pull.id:
        return True
    if quant is not None and not _is_alike(quant, pull.quant):
        return False
    names = (pull.model, pull.model.removesuffix(f":{pull.quant}"), pull.repo)
    if any(_is_alike(model, name) for name in names):
        return True
    name = parse_repository_name(model, hub)
    return name is not None and _is_of(pull, name, parse_repository_name(pull.model, hub))


def _is_of(pull: PullView, name: RepositoryName, pulled: RepositoryName | None) -> bool:
    """Whether a name in a hub's way means it; what the name leaves open is any."""
    quants = (pull.quant, None if pulled is None else pulled.quant)
    known = None if pulled is None else pulled.revision
    return (
        _is_alike(name.repo, pull.repo)
        and (name.quant is None or any(_is_alike(name.quant, one) for one in quants))
        and (name.revision in {None, known} or (pull.commit or "").startswith(name.revision or " "))
        and (name.file is None or any(file.path == name.file for file in pull.files))
    )


def _is_alike(one: str, other: str | None) -> bool:
    return other is not None and one.casefold() == other.casefold()
