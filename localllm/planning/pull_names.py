"""What a model is called once it is here: a name that finds it, and none of its siblings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from localllm.planning.hub_offers import written
from localllm.planning.offers import Offer
from localllm.store.listing import set_of
from localllm.store.names import RepositoryName


def served_by(offer: Offer, model: str, name: RepositoryName | None) -> str:
    """Name an offer, on a hub or on this disk.

    Args:
        model: As the user named it, which does for a path.
        name: The same, where it is a repository's.
    """
    if offer.profile is not None:
        return ":".join(filter(None, (offer.profile.id, offer.quant)))
    if offer.listed is not None and offer.repo is not None:
        return written(RepositoryName(offer.repo, offer.listed.name or None, offer.revision))
    if name is None or offer.stored is None or offer.stored.repo is None:
        return model
    if name.file is None:
        return written(name)
    stem = PurePosixPath(set_of(offer.stored.file).name).name
    return written(replace(name, quant=stem, file=None))
