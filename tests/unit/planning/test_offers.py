"""What there is of a model: on this disk, in the catalog, on a hub; and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from localllm.catalog.facts import HyperParameters
from localllm.catalog.ladder import Ladder, read_ladder
from localllm.catalog.profile import Profile, read_profiles
from localllm.catalog.repositories import FileFormat, Repository, Variant
from localllm.errors import ModelNotFound, NoNetwork
from localllm.formats.header import Format
from localllm.paths import bundled_profiles
from localllm.planning.hub_offers import offers_of_repository, with_own_header
from localllm.planning.offers import (
    Offer,
    Told,
    alike,
    offer_of_file,
    offers_of_profile,
    outlined,
)
from localllm.store.header_cache import HeaderCache
from localllm.store.names import RepositoryName
from localllm.store.remote import RemoteHeaders
from localllm.store.repository import Repository as Listing
from localllm.store.repository import RepositoryFile
from localllm.store.stored import StoredModel
from tests.unit.formats.a_gguf import PLAIN, a_file, a_header

LADDER: Ladder = read_ladder(bundled_profiles())
SMOLLM2 = next(p for p in read_profiles(bundled_profiles()) if p.id == "smollm2-135m-instruct").gguf
REPO, OTHER = "maker/Small-GGUF", "else/Small-GGUF"


def nowhere(_: str) -> StoredModel | None:
    return None


def a_repository(*variants: Variant, repo: str = REPO, **more: Any) -> Repository:
    return Repository(repo=repo, format=FileFormat.GGUF, variants=variants, **more)


def a_profile(*repositories: Repository, **more: Any) -> Profile:
    known: dict[str, Any] = {"parameters": 134_515_008, "gguf": SMOLLM2, "context": 8192}
    return Profile(
        format=1,
        id="small",
        name="Small",
        license="mit",
        repositories=repositories,
        **{**known, **more},
    )


def offers(*repositories: Repository, find: Any = nowhere, **more: Any) -> tuple[Offer, ...]:
    return offers_of_profile(a_profile(*repositories, **more), LADDER, find)


def a_stored(folder: Path, name: str = "small-q4_k_m.gguf", size: int = 200_000) -> StoredModel:
    """A tiny model, as long as is wanted."""
    file = folder / name
    file.write_bytes(a_gguf(size))
    return StoredModel("maker/Small-GGUF:Q4_K_M", file, size, REPO)


def a_gguf(size: int, **keys: object) -> bytes:
    own = {key.replace("__", "."): value for key, value in keys.items()}
    data = a_file(a_header({**PLAIN, **own}))
    return data.ljust(size, b"\0")


def test_every_quantization_is_offered_once_the_best_quality_first() -> None:
    found = offers(
        a_repository(
            Variant(quant="Q4_K_M", size=3), Variant(quant="Q8_0", size=9), Variant(quant="Q2_K")
        ),
        a_repository(Variant(quant="Q8_0", size=8), Variant(quant="Q6_K", size=6), repo=OTHER),
    )

    assert [(offer.quant, offer.repo) for offer in found] == [
        ("Q8_0", REPO),
        ("Q6_K", OTHER),
        ("Q4_K_M", REPO),
        ("Q2_K", REPO),
    ]


def test_what_the_maker_ships_comes_first_and_what_no_rung_knows_last() -> None:
    found = offers(
        a_repository(
            Variant(quant="Q9_Z", size=1),
            Variant(quant="F16", size=1),
            Variant(quant="MXFP4", size=1, native=True),
        )
    )

    assert [offer.quant for offer in found] == ["MXFP4", "F16", "Q9_Z"]


def test_formats_that_llama_cpp_cannot_run_come_after_those_that_it_can() -> None:
    mlx = Repository(
        repo="mlx/Small", format=FileFormat.MLX, variants=(Variant(quant="8bit", size=9),)
    )

    found = offers(mlx, a_repository(Variant(quant="Q4_K_M", size=4)))

    assert [(o.quant, o.format) for o in found] == [("Q4_K_M", Format.GGUF), ("8bit", Format.MLX)]


def test_the_file_that_is_here_wins_whatever_repository_it_is_from(tmp_path: Path) -> None:
    stored = replace(a_stored(tmp_path), repo=OTHER)

    found = offers(
        a_repository(Variant(quant="Q4_K_M", size=4)),
        a_repository(Variant(quant="Q4_K_M", size=5, kld=0.5), repo=OTHER),
        find=lambda name: stored if name == f"{OTHER}:Q4_K_M" else None,
    )

    (offer,) = found
    assert (offer.told, offer.on_disk, offer.repo) == (Told.FILE, True, OTHER)
    assert (offer.size_bytes, offer.kld) == (200_000, 0.5)
    assert (offer.model, offer.quant) == ("small", "Q4_K_M")
    assert offer.header is not None
    assert offer.header.name == "Tiny"


def test_a_file_that_is_served_goes_by_the_catalogs_names(tmp_path: Path) -> None:
    stored = a_stored(tmp_path)

    known = offer_of_file(stored, a_profile(aliases=("tiny",))).to_serve()

    assert (known.id, known.aliases, known.file) == ("small", ("tiny",), stored.file)
    assert offer_of_file(stored).to_serve() == stored


def test_the_projector_beside_a_file_counts_with_its_own_bytes(tmp_path: Path) -> None:
    projector = tmp_path / "mmproj.gguf"
    projector.write_bytes(b"x" * 77)

    offer = offer_of_file(replace(a_stored(tmp_path), projector=projector))

    assert offer.projector_bytes == 77


def test_a_rounded_size_counts_as_the_largest_that_it_can_be() -> None:
    variants = (Variant(quant="Q6_K", size=1000, size_within=24), Variant(quant="Q4_K_M", size=600))

    rounded, exact = offers(a_repository(*variants, projector_size=100, projector_size_within=5))

    assert (rounded.size_bytes, exact.size_bytes) == (1024, 600)
    assert (rounded.projector_bytes, rounded.caveat) == (105, None)


def test_a_size_that_nobody_tells_is_estimated_and_that_is_said() -> None:
    (offer,) = offers(a_repository(Variant(quant="Q6_K")))

    assert offer.size_bytes == round(134_515_008 * 6.5633 / 8)
    assert offer.caveat == "its size is estimated from bits per weight"
    assert outlined(offer).caveat == offer.caveat


@pytest.mark.parametrize(
    ("quant", "more", "lacking"),
    [
        ("Q6_K", {"parameters": None}, "its size"),
        ("Q4_0", {}, "its size"),  # a rung of which nobody tells the bits
        ("Q6_K", {"gguf": None}, "its dimensions"),
        (
            "Q6_K",
            {"gguf": HyperParameters("llama", {"block_count": 3}, ("vocab_size",))},
            "vocab_size, embedding_length, attention.head_count",
        ),
    ],
    ids=["parameters", "bits", "dimensions", "some keys"],
)
def test_what_is_not_known_is_said_and_the_plan_waits_for_the_header(
    quant: str, more: dict[str, Any], lacking: str
) -> None:
    (offer,) = offers(a_repository(Variant(quant=quant)), **more)

    waiting = outlined(offer)

    assert waiting.header is None
    assert waiting.caveat == (
        f"the catalog does not know {lacking}; its header has to be read first"
    )


def test_an_outline_has_the_models_dimensions_and_the_files_bytes() -> None:
    (offer,) = offers(a_repository(Variant(quant="Q6_K", size=110_000_000)))

    header = outlined(offer).header

    assert header is not None
    assert (header.layers, header.quantization) == (30, "Q6_K")
    assert header.weights_bytes == header.file_bytes == 110_000_000


def test_one_header_stands_for_another_quantization_of_the_same_format_only() -> None:
    first, second = offers(a_repository(*(Variant(quant=q, size=10**8) for q in ("Q8_0", "Q6_K"))))
    header = outlined(first).header
    assert header is not None

    made = alike(replace(second, size_bytes=90_000_000), header)

    assert made.header is not None
    assert (made.header.quantization, made.header.weights_bytes) == ("Q6_K", 90_000_000)
    for unfit in (
        alike(replace(second, format=Format.MLX), header),
        alike(replace(second, size_bytes=None), header),
        alike(second, None),
    ):
        assert unfit.header is None


@dataclass
class Hub:
    """A hub whose files are bytes; each request is remembered."""

    files: dict[str, bytes]
    host: str = "hub"
    asked: list[str | None] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    fails: bool = False

    def fetch_repository(self, name: str, revision: str | None) -> Listing:
        self.asked.append(revision)
        if self.fails:
            raise NoNetwork("The hub cannot be reached.", why="no route", fix="try again")
        files = (RepositoryFile(path, len(data)) for path, data in self.files.items())
        return Listing(name, self.host, "c" * 40, tuple(files))

    def fetch_range(self, _: Listing, file: RepositoryFile, start: int, end: int) -> bytes:
        self.fetched.append(file.path)
        return self.files[file.path][start:end]


@pytest.fixture
def hub() -> Hub:
    return Hub(
        {
            "small-Q4_K_M.gguf": a_gguf(400_000),
            "small-Q8_0.gguf": a_gguf(800_000, llama__context_length=2048),
            "mmproj-small-F16.gguf": b"x" * 5000,
        }
    )


@pytest.fixture
def remote(hub: Hub, tmp_path: Path) -> RemoteHeaders:
    return RemoteHeaders(hub, HeaderCache(tmp_path / "cache"), tmp_path / "none")


def test_of_a_repository_one_header_is_read_and_stands_for_all(
    hub: Hub, remote: RemoteHeaders
) -> None:
    found = offers_of_repository(remote, RepositoryName("me/Small"))

    assert set(hub.fetched) == {"small-Q4_K_M.gguf"}
    assert [(o.model, o.quant, o.told, o.size_bytes) for o in found] == [
        ("small", "Q4_K_M", Told.HUB, 400_000),
        ("small", "Q8_0", Told.SCALED, 800_000),
    ]
    headers = [o.header for o in found if o.header is not None]
    assert [h.quantization for h in headers][1] == "Q8_0"
    assert [h.weights_bytes for h in headers][1] == headers[1].file_bytes == 800_000
    assert [o.projector_bytes for o in found] == [5000, 5000]
    assert [len(o.parts) for o in found] == [1, 0]


def test_the_one_that_was_chosen_is_looked_at_itself(hub: Hub, remote: RemoteHeaders) -> None:
    _, scaled = offers_of_repository(remote, RepositoryName("me/Small", revision="dev"))

    own = with_own_header(scaled, remote)

    assert (own.told, len(own.parts)) == (Told.HUB, 1)
    assert own.header is not None
    assert own.header.context_trained == 2048
    assert set(hub.asked) == {"dev"}
    assert with_own_header(own, remote) is own


def test_a_quantization_that_was_named_is_the_only_one_offered(remote: RemoteHeaders) -> None:
    (offer,) = offers_of_repository(remote, RepositoryName("me/Small", "q8_0"))

    assert (offer.quant, offer.told) == ("Q8_0", Told.HUB)


def test_a_quantization_that_is_not_there_is_answered_with_those_that_are(
    remote: RemoteHeaders,
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        offers_of_repository(remote, RepositoryName("me/Small", "Q5_K_M"))

    assert "Q5_K_M" in caught.value.what
    assert "Q4_K_M, Q8_0" in caught.value.why


def of_catalog(**more: Any) -> Offer:
    files = {"files": ("small-Q8_0.gguf",), **more}
    (offer,) = offers(a_repository(Variant(quant="Q8_0", size=900_000, **files)))
    return offer


def test_the_catalogs_numbers_give_way_to_the_hubs(remote: RemoteHeaders) -> None:
    own = with_own_header(of_catalog(), remote)

    assert (own.told, own.size_bytes, own.caveat) == (Told.HUB, 800_000, None)
    assert own.header is not None
    assert own.header.context_trained == 2048


def test_a_file_that_is_not_listed_any_more_is_told(remote: RemoteHeaders) -> None:
    gone = of_catalog(files=("small-Q3_K_M.gguf",))

    told = with_own_header(replace(gone, quant="Q3_K_M"), remote)

    assert told.told is Told.CATALOG
    assert told.caveat is not None
    assert f"{REPO} does not list" in told.caveat


def test_without_a_hub_the_catalogs_numbers_stay_and_that_is_said(
    hub: Hub, remote: RemoteHeaders
) -> None:
    hub.fails = True

    kept = with_own_header(of_catalog(), remote)

    assert kept == replace(of_catalog(), caveat="from the catalog: The hub cannot be reached.")


def test_an_older_listing_is_said_to_be_one(hub: Hub, remote: RemoteHeaders) -> None:
    offers_of_repository(remote, RepositoryName("me/Small"))
    hub.fails = True

    found = offers_of_repository(remote, RepositoryName("me/Small"))

    assert {o.caveat for o in found} == {"as the hub last said: no route"}
