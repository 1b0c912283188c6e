"""Headers of models on a hub: the real huggingface_hub, against a hub on loopback."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from localllm.errors import AccessRefused, LocalLLMError, ModelNotFound, NoNetwork
from localllm.formats.errors import BadModelFile
from localllm.formats.header import Header
from localllm.store.contents import Contents, sort_files
from localllm.store.header_cache import HeaderCache
from localllm.store.hub import HuggingFaceHub
from localllm.store.remote import MAX_HEADER_BYTES, STEP_BYTES, RemoteHeaders
from localllm.store.repository import Repository
from tests.fakes.hub import FakeHub, FakeRepository, serving
from tests.fakes.hub_faults import Fault
from tests.unit.formats.a_gguf import PLAIN, Line, Raw, a_file, a_header, a_list, a_text
from tests.unit.store.a_safetensors import CONFIG, a_safetensors

REPO = "me/Qwen-GGUF"
FORTY_GB = 40_000_000_000
VOCABULARY = 248_320
PART = {"split.no": 0, "split.count": 3, "split.tensors.count": 3}


def many(texts: Iterator[str], count: int) -> Raw:
    return a_list(8, count, b"".join(a_text(text) for text in itertools.islice(texts, count)))


@pytest.fixture(scope="module")
def large_header() -> bytes:
    """As long as those of today's models with a vocabulary of 248,320: some 10 MB."""
    tokens = many((f"tok{i:05x}" for i in itertools.count()), VOCABULARY)
    merges = many((f"to k{i:05x}" for i in itertools.count()), VOCABULARY - 700)
    types = a_list(5, VOCABULARY, struct.pack("<i", 1) * VOCABULARY)
    keys = {
        **PLAIN,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
    }
    tensor = Line(shape=(64, VOCABULARY))
    return a_header(keys, (tensor,))


class User:
    """Somebody's machine: what it has of the hub, and how it asks it."""

    def __init__(self, home: Path, hub: FakeHub) -> None:
        self.environment = {"HF_ENDPOINT": hub.url}
        self.shared = home / "hub"
        self.cache = HeaderCache(home / "cache")
        self.fake = hub

    @property
    def remote(self) -> RemoteHeaders:
        return RemoteHeaders(HuggingFaceHub(self.environment), self.cache, self.shared)

    def repository(self, name: str = REPO, revision: str | None = None) -> Repository:
        return self.remote.fetch_repository(name, revision)

    def contents(self, name: str = REPO) -> Contents:
        return sort_files(self.repository(name).files)

    def header(self, name: str = REPO, revision: str | None = None) -> Header:
        """Read the header of the repository's only model."""
        repository = self.repository(name, revision)
        (variant,) = sort_files(repository.files).models
        return self.remote.fetch_header(repository, variant)

    def refusal(self, name: str = REPO, revision: str | None = None) -> LocalLLMError:
        with pytest.raises(LocalLLMError) as caught:
            self.header(name, revision)
        return caught.value


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "served") as hub:
        yield hub
    huggingface_hub.close_session()


@pytest.fixture
def user(tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    return User(tmp_path, hub)


@pytest.fixture
def repository(hub: FakeHub) -> FakeRepository:
    return hub.add(REPO)


def put_small(repository: FakeRepository, name: str = "m-Q8_0.gguf") -> None:
    repository.put(name, a_file(a_header()))


def test_a_header_of_ten_megabytes_in_a_file_of_forty_gigabytes_moves_little_more_than_itself(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("Qwen-Q4_K_M.gguf", large_header, FORTY_GB)

    header = user.header()

    assert (header.vocabulary, header.file_bytes) == (VOCABULARY, FORTY_GB)
    assert 9_000_000 < len(large_header) < 12_000_000
    assert hub.sent_bytes < 16_000_000
    assert hub.sent_bytes < len(large_header) + STEP_BYTES + 4096


def test_a_header_read_once_is_not_fetched_again(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("Qwen-Q4_K_M.gguf", large_header, FORTY_GB)
    first = user.header()
    hub.forget()

    assert user.header() == first
    assert [r.partition("?")[0] for r in hub.requests] == [f"GET /api/models/{REPO}"]
    hub.forget()

    assert user.header(revision=repository.commit) == first
    assert (hub.requests, hub.sent_bytes) == ([], 0)


def test_a_listing_is_one_request_and_has_every_size(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    put_small(repository, "m-Q8_0.gguf")
    repository.put("UD-Q4_K_XL/m-UD-Q4_K_XL-00001-of-00002.gguf", b"GGUF", FORTY_GB)
    repository.put("UD-Q4_K_XL/m-UD-Q4_K_XL-00002-of-00002.gguf", b"GGUF", 5)

    models = user.contents().models

    found = [(m.quantization, m.file_bytes, len(m.files)) for m in models]
    small = repository.size("m-Q8_0.gguf")
    assert found == [("UD-Q4_K_XL", FORTY_GB + 5, 2), ("Q8_0", small, 1)]
    assert len(hub.requests) == 1


def put_parts(repository: FakeRepository, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
    for number in numbers:
        part = {"split.no": number - 1, "split.count": 3, "split.tensors.count": 3}
        line = Line("token_embd.weight" if number == 1 else f"blk.{number}.x.weight")
        keys = {**PLAIN, **part} if number == 1 else part
        data = a_file(a_header(keys, (line,)), (line,))
        repository.put(f"Q4_K_M/m-Q4_K_M-0000{number}-of-00003.gguf", data, 1 << 30)


def test_the_parts_of_a_split_model_are_joined_and_their_headers_alone_are_fetched(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    put_parts(repository)

    header = user.header()

    assert (len(header.tensors), header.files, header.file_bytes) == (3, 3, 3 << 30)
    assert hub.sent_bytes < 3 << 20


def test_a_split_model_whose_parts_are_not_all_there_names_the_missing_one(
    user: User, repository: FakeRepository
) -> None:
    put_parts(repository, (1, 3))

    assert user.refusal().why == "missing: m-Q4_K_M-00002-of-00003.gguf"


def test_a_model_in_safetensors_is_read_by_its_config_and_the_headers_of_its_files(
    user: User, hub: FakeHub
) -> None:
    repository = hub.add("mlx-community/Tiny-4bit", tags=["mlx"])
    repository.put("config.json", CONFIG)
    repository.put("tokenizer_config.json", b'{"chat_template": "{{ messages }}"}')
    for number, name in ((1, "model.embed_tokens.weight"), (2, "lm_head.weight")):
        data = a_safetensors(**{name: (100_000, 64)})
        repository.put(f"model-0000{number}-of-00002.safetensors", data)

    listed = user.repository(repository.name)
    header = user.header(repository.name)

    assert listed.library == "mlx"
    assert (header.architecture, header.files, header.name) == ("llama", 2, "Tiny-4bit")
    assert (header.weights_bytes, header.has_chat_template) == (2 * 100_000 * 64 * 2, True)
    assert hub.sent_bytes < 200_000
    hub.forget()
    assert user.header(repository.name, repository.commit) == header
    assert hub.requests == []


def test_a_projector_is_no_model_and_its_header_can_be_read(
    user: User, repository: FakeRepository
) -> None:
    put_small(repository)
    clip = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    repository.put("mmproj-F16.gguf", a_file(a_header(clip)))

    contents = user.contents()
    projector = user.remote.fetch_projector(user.repository(), contents.projectors[0])

    assert [m.quantization for m in contents.models] == ["Q8_0"]
    assert projector.has_vision
    assert user.remote.fetch_projector(user.repository(), contents.projectors[0]) == projector


def test_a_projector_that_goes_by_a_models_name_is_refused_by_its_header(
    user: User, repository: FakeRepository
) -> None:
    repository.put("sees-F16.gguf", a_file(a_header({"general.architecture": "clip"})))

    assert isinstance(user.refusal(), BadModelFile)


def test_a_gated_repository_says_what_to_click(user: User, hub: FakeHub) -> None:
    put_small(hub.add("big/gated", is_gated=True))

    error = user.refusal("big/gated")

    assert isinstance(error, AccessRefused)
    assert (error.exit_code, error.http_status, error.retryable) == (6, 403, False)
    assert (
        error.fix == f"open {hub.url}/big/gated, accept the conditions there, then: hf auth login"
    )


def test_a_token_opens_what_is_gated_and_what_is_private(user: User, hub: FakeHub) -> None:
    user.environment["HF_TOKEN"] = hub.token
    put_small(hub.add("big/gated", is_gated=True))
    put_small(hub.add("me/private", is_private=True))

    assert user.header("big/gated") == user.header("me/private")
    assert hub.tokens == {hub.token}


@pytest.mark.parametrize("name", ["me/none", "me/private", "not a name", "a" * 97])
def test_a_repository_that_is_not_there_for_the_user_is_not_found(
    user: User, hub: FakeHub, name: str
) -> None:
    put_small(hub.add("me/private", is_private=True))

    error = user.refusal(name)

    assert isinstance(error, ModelNotFound)
    assert error.what.startswith(f"There is no repository {name} for you")


def test_a_revision_that_is_not_there_is_named(user: User, repository: FakeRepository) -> None:
    error = user.refusal(revision="v9")

    assert (error.exit_code, error.what) == (5, f"{REPO} has no revision v9.")


def test_a_token_that_the_hub_does_not_take_is_not_a_missing_repository(
    user: User, repository: FakeRepository
) -> None:
    user.environment["HF_TOKEN"] = "hf_old"

    assert user.refusal().what == f"{user.fake.url} does not take your token."


def test_offline_with_nothing_known_says_which_setting_forbids_to_ask(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    user.environment["HF_HUB_OFFLINE"] = "1"

    error = user.refusal()

    assert (error.exit_code, error.why) == (6, "HF_HUB_OFFLINE is set")
    assert hub.requests == []


def test_offline_what_was_last_known_is_used_and_said(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    put_small(repository)
    known = user.header()
    user.environment["HF_HUB_OFFLINE"] = "1"

    assert user.repository().not_fresh == "HF_HUB_OFFLINE is set"
    assert user.repository(revision=repository.commit).not_fresh is None
    assert user.header() == known


def test_a_hub_that_does_not_answer_is_no_network_and_what_was_known_still_serves(
    user: User, tmp_path: Path
) -> None:
    with serving(tmp_path / "gone") as gone:
        user.environment["HF_ENDPOINT"] = gone.url
        put_small(gone.add(REPO))
        known = user.header()

    assert user.header() == known
    assert user.repository().not_fresh is not None
    assert isinstance(user.refusal("me/other"), NoNetwork)


def test_a_hub_that_dies_while_it_sends_is_an_error_and_the_next_read_goes_on_from_there(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("Qwen-Q4_K_M.gguf", large_header, FORTY_GB)
    hub.dies_after_bytes = 3 * STEP_BYTES // 2

    error = user.refusal()

    assert isinstance(error, NoNetwork)
    assert "cannot be reached" in error.what
    hub.dies_after_bytes = None
    hub.forget()
    assert user.header().vocabulary == VOCABULARY
    assert hub.sent_bytes < len(large_header)


def test_a_connection_that_breaks_costs_what_it_had_not_brought_and_no_more(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("Qwen-Q4_K_M.gguf", large_header, FORTY_GB)
    hub.fail(Fault(cut_after=STEP_BYTES // 2), Fault(cut_after=1000))

    assert user.header().vocabulary == VOCABULARY

    assert hub.sent_of["me/Qwen-GGUF/Qwen-Q4_K_M.gguf"] <= len(large_header) + 2 * STEP_BYTES


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>Log in to the network</html>", "does not answer as a hub does"),
        (200, b"[]", "does not answer as a hub does"),
        (200, b'{"id": "a/b"}', "does not answer as a hub does"),
        (503, b"", "answered with an error"),
        (429, b"", "was asked too often"),
        (403, b"", "refuses me/Qwen-GGUF"),
    ],
)
def test_what_is_no_hub_or_a_hub_in_trouble_is_told_apart(
    user: User, hub: FakeHub, status: int, body: bytes, said: str
) -> None:
    hub.answers = (status, body)

    error = user.refusal()

    assert error.exit_code == 6
    assert said in error.what


@pytest.mark.parametrize("path", ["../../m-Q8_0.gguf", "/m-Q8_0.gguf", "a/../../m-Q8_0.gguf"])
def test_a_listed_path_that_leaves_the_repository_is_left_out(
    user: User, hub: FakeHub, path: str
) -> None:
    siblings = f'[{{"rfilename": "{path}", "size": 5}}]'
    hub.answers = (200, f'{{"id": "a/b", "sha": "{"c" * 40}", "siblings": {siblings}}}'.encode())

    assert user.repository().files == ()


def test_a_mirror_that_ignores_ranges_is_never_read_whole(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("Qwen-Q4_K_M.gguf", large_header, FORTY_GB)
    hub.ignores_ranges = True

    assert "does not answer as a hub does" in user.refusal().what
    assert hub.sent_bytes < 16_000_000


def test_a_header_that_has_no_end_is_given_up(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    endless = a_header({**PLAIN, "tokenizer.ggml.tokens": a_list(8, 2_000_000)}, ())
    repository.put("m-Q8_0.gguf", endless, FORTY_GB)

    error = user.refusal()

    assert error.why == f"it goes on after {MAX_HEADER_BYTES} bytes"
    assert hub.sent_bytes < 16_000_000


def test_a_file_in_the_cache_that_all_programs_share_is_read_from_there(
    user: User, hub: FakeHub, repository: FakeRepository
) -> None:
    put_small(repository)
    snapshot = user.shared / "models--me--Qwen-GGUF" / "snapshots" / repository.commit
    snapshot.mkdir(parents=True)
    (snapshot / "m-Q8_0.gguf").write_bytes(a_file(a_header()))

    assert user.header().vocabulary == 3
    assert not [r for r in hub.requests if "resolve" in r]


def test_a_file_that_other_commits_share_is_fetched_once(
    user: User, hub: FakeHub, repository: FakeRepository, large_header: bytes
) -> None:
    repository.put("m-Q8_0.gguf", large_header, FORTY_GB)
    user.header()
    repository.commit = "d" * 40
    hub.forget()

    assert user.header().vocabulary == VOCABULARY
    assert len(hub.requests) == 1


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"\x81\xa1a\x01"])
def test_a_cache_that_is_damaged_is_as_good_as_none(
    user: User, hub: FakeHub, repository: FakeRepository, damage: bytes
) -> None:
    put_small(repository)
    known = user.header()
    for file in user.cache.folder.iterdir():
        file.write_bytes(damage)

    assert user.header() == known
    assert sum("resolve" in request for request in hub.requests) == 2


def test_the_real_huggingface_hub_takes_the_fake_for_a_hub(
    hub: FakeHub, repository: FakeRepository, tmp_path: Path
) -> None:
    for name in "abcde":
        repository.put(f"{name}.gguf", b"GGUF" * 9)
    repository.put("large.gguf", b"GGUF", 2 << 20)
    api = huggingface_hub.HfApi(hub.url, token=False)
    files = huggingface_hub.HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)

    listed = [entry.path for entry in api.list_repo_tree(REPO, recursive=True)]
    (info,) = api.get_paths_info(REPO, ["large.gguf"])
    with files.open(f"{REPO}/large.gguf", block_size=1 << 16, cache_type="none") as opened:
        opened.seek(2)
        head = opened.read(2)
    path = api.hf_hub_download(REPO, "a.gguf", cache_dir=tmp_path)

    assert listed == [*(f"{name}.gguf" for name in "abcde"), "large.gguf"]
    assert (info.size, head) == (2 << 20, b"UF")
    assert Path(path).read_bytes() == b"GGUF" * 9
