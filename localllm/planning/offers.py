"""Which quantizations of which models there are, and what is known of each. Decides nothing.

On this disk, in the catalog, and on a hub.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from localllm.catalog.ladder import Ladder, estimated_size
from localllm.catalog.profile import Profile
from localllm.catalog.repositories import FileFormat, Variant
from localllm.catalog.repositories import Repository as ProfileRepository
from localllm.engines.sparse import Part
from localllm.fit.outline import Missing, outline, rescaled
from localllm.formats.header import Format, Header
from localllm.store.contents import Variant as Found
from localllm.store.headers import read_header
from localllm.store.repository import Repository, RepositoryFile
from localllm.store.stored import StoredModel

Find = Callable[[str], StoredModel | None]
"""From `owner/repo:quant` to the model on this disk; None where it is not."""


class Told(StrEnum):
    """Who told what a model takes."""

    FILE = "file"
    HUB = "hub"
    SCALED = "scaled"
    """Another quantization's header, and this one's size."""

    CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Listed:
    """Where a hub has a model, at one commit."""

    repository: Repository
    found: Found
    projector: RepositoryFile | None
    name: str
    """Which of the repository's models it is, behind a colon; empty where that is clear."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One quantization of one model."""

    model: str
    quant: str | None
    format: Format
    told: Told
    header: Header | None = None
    """None where nobody tells enough of it."""

    size_bytes: int | None = None
    repo: str | None = None
    revision: str | None = None
    """Branch, tag or commit that was named; None is the repository's default branch."""

    files: tuple[str, ...] = ()
    projector_bytes: int = 0
    listed: Listed | None = None
    """None before a hub was asked."""

    stored: StoredModel | None = None
    profile: Profile | None = None
    kld: float | None = None
    kld_source: str | None = None
    native: bool = False
    parts: tuple[Part, ...] = ()
    """The first bytes of its files, where they were fetched."""

    caveat: str | None = None
    """What stands behind its numbers, where it is not its own header."""

    @property
    def on_disk(self) -> bool:
        return self.stored is not None

    def to_serve(self) -> StoredModel:
        """The file that is here, under the names that the catalog gives it."""
        assert self.stored is not None, "only what is here can be served"
        if self.profile is None:
            return self.stored
        return replace(self.stored, id=self.profile.id, aliases=self.profile.aliases)

    def is_quant(self, quant: str | None) -> bool:
        """Whether it is in this quantization; None is any."""
        return quant is None or (self.quant or "").upper() == quant.upper()


def offer_of_file(stored: StoredModel, profile: Profile | None = None) -> Offer:
    """Offer what is on this disk.

    Raises:
        LocalLLMError: Its header cannot be read; see `read_header`.
    """
    header = read_header(stored.file)
    projector = 0 if stored.projector is None else stored.projector.stat().st_size
    return Offer(
        model=stored.id,
        quant=header.quantization,
        format=header.format,
        told=Told.FILE,
        header=header,
        size_bytes=stored.file_bytes,
        repo=stored.repo,
        files=(str(stored.file),),
        projector_bytes=projector,
        stored=stored,
        profile=profile,
    )


def offers_of_profile(profile: Profile, ladder: Ladder, find: Find) -> tuple[Offer, ...]:
    """Offer each quantization of a model of the catalog once, the best quality first.

    It is the file that is here, else the first repository's that lists it. Those that are not here have no header yet: see `outlined`.
    """
    offers: dict[tuple[FileFormat, str], Offer] = {}
    for repository in profile.repositories:
        for variant in repository.variants:
            key = (repository.format, variant.quant)
            if key in offers and offers[key].on_disk:
                continue
            offer = _of_variant(profile, repository, variant, ladder, find)
            if key not in offers or offer.on_disk:
                offers[key] = offer
    return tuple(sorted(offers.values(), key=lambda offer: _order(offer, ladder)))


def _order(offer: Offer, ladder: Ladder) -> tuple[bool, int]:
    place = None if offer.quant is None else ladder.place(offer.quant, native=offer.native)
    return offer.format is not Format.GGUF, len(ladder.rungs) + 2 if place is None else place


def _of_variant(
    profile: Profile,
    repository: ProfileRepository,
    variant: Variant,
    ladder: Ladder,
    find: Find,
) -> Offer:
    format_ = Format(repository.format.value)
    is_gguf = format_ is Format.GGUF  # which tells its quantization by its name; a folder does not
    stored = find(f"{repository.repo}:{variant.quant}" if is_gguf else repository.repo)
    if stored is not None and stored.format is format_:
        here = offer_of_file(stored, profile)
        return _judged(replace(here, model=profile.id, quant=variant.quant), variant)
    size, caveat = _size(profile, variant, ladder)
    offer = Offer(
        model=profile.id,
        quant=variant.quant,
        format=format_,
        told=Told.CATALOG,
        size_bytes=size,
        repo=repository.repo,
        files=variant.files,
        projector_bytes=_with_slack(repository.projector_size, repository.projector_size_within),
        profile=profile,
        caveat=caveat,
    )
    return _judged(offer, variant)


def _size(profile: Profile, variant: Variant, ladder: Ladder) -> tuple[int | None, str | None]:
    """The variant's bytes, and what stands behind them; a rounded size counts as its largest."""
    if variant.size is not None:
        return _with_slack(variant.size, variant.size_within), None
    rung = ladder.rung(variant.quant)
    if rung is None or profile.parameters is None:
        return None, None
    size = estimated_size(profile.parameters, rung)
    return size, None if size is None else "its size is estimated from bits per weight"


def _with_slack(size: int | None, within: int | None) -> int:
    return (size or 0) + (within or 0)


def outlined(offer: Offer) -> Offer:
    """Give an offer of the catalog the header that its file should have."""
    profile = offer.profile
    if offer.header is not None or offer.told is not Told.CATALOG or profile is None:
        return offer
    if profile.gguf is None or offer.size_bytes is None:
        what = "its size" if profile.gguf is not None else "its dimensions"
        return replace(offer, caveat=_waits(what))
    header = outline(
        profile.gguf,
        name=profile.name,
        quant=offer.quant,
        size_bytes=offer.size_bytes,
        parameters=profile.parameters,
        context=profile.context,
        format=offer.format,
    )
    if isinstance(header, Missing):
        return replace(offer, caveat=_waits(", ".join(dict.fromkeys(header.names))))
    return replace(offer, header=header)


def alike(offer: Offer, header: Header | None) -> Offer:
    """Give an offer the header of another quantization of the same model, made to its size."""
    if (
        header is None
        or offer.header is not None
        or offer.size_bytes is None
        or offer.format is not header.format
    ):
        return offer
    quant = offer.quant or header.quantization or "unknown"
    return replace(offer, header=rescaled(header, quant=quant, size_bytes=offer.size_bytes))


def _waits(what: str) -> str:
    return f"the catalog does not know {what}; its header has to be read first"


def _judged(offer: Offer, variant: Variant) -> Offer:
    return replace(offer, kld=variant.kld, kld_source=variant.kld_source, native=variant.native)
