"""What a hub offers: the models of a repository, and their own headers, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from localllm.engines.sparse import Part
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.fit.outline import rescaled
from localllm.formats.header import Header
from localllm.planning.offers import Offer, Told
from localllm.store.contents import Variant as Listed
from localllm.store.contents import choose_projector, sort_files
from localllm.store.remote import RemoteHeaders
from localllm.store.repository import Repository


def offers_of_repository(
    remote: RemoteHeaders, name: str, revision: str | None, quant: str | None
) -> tuple[Offer, ...]:
    """Offer each model of a repository on a hub; the header of one of them stands for all.

    Raises:
        ModelNotFound: There is no such repository, no model in it, or not in this quantization.
        LocalLLMError: The hub cannot be asked, or refuses; see RemoteHeaders.
    """
    repository = remote.fetch_repository(name, revision)
    contents = sort_files(repository.files, mlx=repository.library == "mlx")
    models = [m for m in contents.models if quant is None or m.quantization == quant.upper()]
    if not models:
        raise _nothing(name, quant, contents.models)
    header = remote.fetch_header(repository, models[0])
    not_fresh = None
    if repository.not_fresh is not None:
        not_fresh = f"as the hub last said: {repository.not_fresh}"
    offers = []
    for model in models:
        projector = choose_projector(model, contents)
        offers.append(
            Offer(
                model=name.partition("/")[2].lower(),
                quant=model.quantization or header.quantization,
                format=model.format,
                told=Told.HUB if model is models[0] else Told.SCALED,
                header=_header_of(header, model, is_own=model is models[0]),
                size_bytes=model.file_bytes,
                repo=name,
                revision=revision,
                files=tuple(file.path for file in model.files),
                projector_bytes=0 if projector is None else projector.size_bytes,
                parts=parts_of(remote, repository, model) if model is models[0] else (),
                caveat=not_fresh,
            )
        )
    return tuple(offers)


def _header_of(header: Header, model: Listed, *, is_own: bool) -> Header:
    if is_own:
        return header
    quant = model.quantization or header.quantization or "unknown"
    return rescaled(header, quant=quant, size_bytes=model.file_bytes)


def with_own_header(offer: Offer, remote: RemoteHeaders) -> Offer:
    """Read an offer's own header from the hub; the offer as it was where that cannot be.

    The numbers of a catalog, or of another quantization's header, are near; its own are exact.
    """
    if offer.told in {Told.FILE, Told.HUB} or offer.repo is None:
        return offer
    try:
        repository = remote.fetch_repository(offer.repo, offer.revision)
        model = _listed(repository, offer)
        if model is None:
            return replace(offer, caveat=f"{offer.repo} does not list it any more")
        header = remote.fetch_header(repository, model)
    except LocalLLMError as error:
        return replace(offer, caveat=offer.caveat or f"from the catalog: {error.what}")
    return replace(
        offer,
        told=Told.HUB,
        header=header,
        size_bytes=model.file_bytes,
        parts=parts_of(remote, repository, model),
        caveat=None,
    )


def parts_of(remote: RemoteHeaders, repository: Repository, model: Listed) -> tuple[Part, ...]:
    """What an engine can be asked with."""
    return tuple(Part(head, size) for head, size in remote.kept_heads(repository, model))


def _listed(repository: Repository, offer: Offer) -> Listed | None:
    contents = sort_files(repository.files, mlx=repository.library == "mlx")
    wanted = set(offer.files)
    for model in contents.models:
        if wanted and wanted <= {file.path for file in model.files}:
            return model
    named = [m for m in contents.models if m.quantization == (offer.quant or "").upper()]
    return next(iter(named or (contents.models if not wanted else ())), None)


def _nothing(name: str, quant: str | None, models: Sequence[Listed]) -> ModelNotFound:
    there = ", ".join(_names(models)) or "none"
    return ModelNotFound(
        f"{name} has no model" + (f" in {quant}." if quant else " that can be read."),
        why=f"its models: {there}",
        fix=f"localllm plan hf:{name}, or another repository" if models else "another repository",
    )


def _names(models: Sequence[Listed]) -> Iterator[str]:
    for model in models[:12]:
        yield model.quantization or model.name
