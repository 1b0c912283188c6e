"""What a hub offers: the models of a repository, and their own headers, before anything is downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from localllm.engines.sparse import Part
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.fit.outline import rescaled
from localllm.formats.header import Format, Header
from localllm.planning.offers import Listed, Offer, Told
from localllm.store.contents import Contents, Variant, choose_projector, sort_files
from localllm.store.names import RepositoryName, shown
from localllm.store.needed import PICKLES
from localllm.store.remote import RemoteHeaders
from localllm.store.repository import Repository

Check = Callable[[Repository, Sequence[Variant]], None]
"""Raises where none of a repository's models will do; called before a header is read."""

_ENDING = re.compile(r"[\w.-]+", re.ASCII)


def offers_of_repository(
    remote: RemoteHeaders, name: RepositoryName, check: Check | None = None
) -> tuple[Offer, ...]:
    """Offer each model of a repository on a hub; the header of one of them stands for all.

    Raises:
        ModelNotFound: There is no such repository, no model in it, or not in this quantization.
        LocalLLMError: The hub cannot be asked, or refuses; see RemoteHeaders.
    """
    repository = remote.fetch_repository(name.repo, name.revision)
    contents = _sorted(repository)
    if check is not None:
        check(repository, contents.models)
    models = _meant(contents.models, name)
    if not models:
        raise _nothing(name, repository, contents.models)
    header = remote.fetch_header(repository, models[0])
    return tuple(
        _offer(remote, name, _listed(repository, contents, model), header, is_own=not number)
        for number, model in enumerate(models)
    )


def _offer(
    remote: RemoteHeaders, name: RepositoryName, listed: Listed, header: Header, *, is_own: bool
) -> Offer:
    repository, model, projector = listed.repository, listed.found, listed.projector
    old = repository.not_fresh
    return Offer(
        model=repository.name.partition("/")[2].lower(),
        quant=model.quantization or header.quantization,
        format=model.format,
        told=Told.HUB if is_own else Told.SCALED,
        header=_header_of(header, model, is_own=is_own),
        size_bytes=model.file_bytes,
        repo=repository.name,
        revision=name.revision,
        files=tuple(file.path for file in model.files),
        projector_bytes=0 if projector is None else projector.size_bytes,
        listed=listed,
        parts=parts_of(remote, repository, model) if is_own else (),
        caveat=None if old is None else f"as the hub last said: {old}",
    )


def _meant(models: Sequence[Variant], name: RepositoryName) -> Sequence[Variant]:
    """Those that are named, and of these the ones that are whole, if any is."""
    named = models
    if name.file is not None:
        named = [m for m in models if any(file.path == name.file for file in m.files)]
    elif name.quant is not None:
        quant = name.quant.upper()
        named = [m for m in models if m.quantization == quant]
        named = named or [m for m in models if _last(m).upper() == quant]
    return [model for model in named if not model.missing] or named


def _header_of(header: Header, model: Variant, *, is_own: bool) -> Header:
    if is_own:
        return header
    quant = model.quantization or header.quantization or "unknown"
    return rescaled(header, quant=quant, size_bytes=model.file_bytes)


def written(name: RepositoryName) -> str:
    """Write a name as `parse_repository_name` reads it; that of a file has no place in it."""
    quant = "" if name.quant is None else f":{name.quant}"
    return f"hf:{name.repo}{quant}" + ("" if name.revision is None else f"@{name.revision}")


def with_own_header(offer: Offer, remote: RemoteHeaders) -> Offer:
    """Read an offer's own header from the hub; the offer as it was where that cannot be.

    The numbers of a catalog, or of another quantization's header, are near; its own are exact.
    """
    try:
        return own_header(offer, remote)
    except LocalLLMError as error:
        return replace(offer, caveat=offer.caveat or f"from the catalog: {error.what}")


def own_header(offer: Offer, remote: RemoteHeaders) -> Offer:
    """Read an offer's own header from the hub.

    Raises:
        LocalLLMError: The hub does not have it, cannot be asked, or refuses; see RemoteHeaders.
    """
    if offer.told in {Told.FILE, Told.HUB} or offer.repo is None:
        return offer
    listed = offer.listed or look_up(offer, remote)
    header = remote.fetch_header(listed.repository, listed.found)
    return replace(
        offer,
        told=Told.HUB,
        header=header,
        size_bytes=listed.found.file_bytes,
        projector_bytes=0 if listed.projector is None else listed.projector.size_bytes,
        listed=listed,
        parts=parts_of(remote, listed.repository, listed.found),
        caveat=None,
    )


def look_up(offer: Offer, remote: RemoteHeaders) -> Listed:
    """Find where its hub has an offer, of the catalog or of this disk.

    Raises:
        LocalLLMError: It does not have it, cannot be asked, or refuses.
    """
    assert offer.repo is not None, "what came from no repository is on no hub"
    repository = remote.fetch_repository(offer.repo, offer.revision)
    contents = _sorted(repository)
    found = _find(contents.models, offer)
    if found is None:
        raise ModelNotFound(
            f"{offer.repo} does not list {offer.model} in {offer.quant} any more.",
            why=f"its models: {', '.join(_names(contents.models)) or 'none'}",
            fix=f"localllm plan hf:{offer.repo}, or another quantization",
        )
    return _listed(repository, contents, found)


def parts_of(remote: RemoteHeaders, repository: Repository, model: Variant) -> tuple[Part, ...]:
    """What an engine can be asked with."""
    return tuple(Part(head, size) for head, size in remote.kept_heads(repository, model))


def _sorted(repository: Repository) -> Contents:
    return sort_files(repository.files, mlx=repository.library == "mlx")


def _find(models: Sequence[Variant], offer: Offer) -> Variant | None:
    """Find an offer among what is listed: by its files, else by its quantization."""
    alike = [model for model in models if model.format is offer.format]
    if offer.format is not Format.GGUF:
        return next(iter(alike), None)
    wanted = {PurePosixPath(file).name for file in offer.files}
    for model in alike:
        if wanted and wanted <= {PurePosixPath(file.path).name for file in model.files}:
            return model
    named = [m for m in alike if m.quantization == (offer.quant or "").upper()]
    return next(iter(named or (alike if not wanted else ())), None)


def _listed(repository: Repository, contents: Contents, model: Variant) -> Listed:
    projector = choose_projector(model, contents) if model.format is Format.GGUF else None
    return Listed(repository, model, projector, _ending(model, contents.models))


def _ending(model: Variant, models: Sequence[Variant]) -> str:
    """What tells a model of a repository from the others, where it is named behind a colon."""
    if model.format is not Format.GGUF:
        return ""
    quant = model.quantization
    if quant is not None and sum(m.quantization == quant for m in models) == 1:
        return quant
    return _last(model) if len(models) > 1 and _ENDING.fullmatch(_last(model)) else ""


def _last(model: Variant) -> str:
    return PurePosixPath(model.name).name


def _nothing(
    name: RepositoryName, repository: Repository, models: Sequence[Variant]
) -> ModelNotFound:
    wanted = name.file or name.quant
    pickles = [file.path for file in repository.files if file.path.endswith(PICKLES)]
    why = f"its models: {', '.join(_names(models)) or 'none'}"
    if pickles and not models:
        why = f"its weights ({shown(pickles[0])}) are programs to whatever loads them"
    return ModelNotFound(
        f"{name.repo} has no model" + (f" in {shown(wanted)}." if wanted else " that can be read."),
        why=why,
        fix=f"localllm plan hf:{name.repo}, or another repository"
        if models
        else "look for a GGUF of the model in another repository",
    )


def _names(models: Sequence[Variant]) -> Iterator[str]:
    for model in models[:12]:
        yield model.quantization or shown(model.name)
