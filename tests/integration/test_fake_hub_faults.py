"""The fake hub fails as it is told to, byte for byte."""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import HfApi, file_download

from tests.fakes.hub import FakeHub, Fault, Stage, login_page, serving, too_many
from tests.fakes.installation import wait_until
from tests.integration.ask_once import ask

REPO = "me/Qwen-GGUF"
DATA = random.Random(2).randbytes(300_000)
PATH = "m-Q4_0.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "served") as hub:
        hub.add(REPO).put(PATH, DATA)
        yield hub
    huggingface_hub.close_session()


def address(hub: FakeHub) -> str:
    """Where the storage has the file."""
    return ask(f"{hub.url}/{REPO}/resolve/main/{PATH}").headers["Location"]


def test_a_connection_is_cut_after_so_many_bytes_once(hub: FakeHub) -> None:
    hub.fail(Fault(cut_after=100_000))
    where = address(hub)

    cut, whole = ask(where), ask(where)

    assert (cut.body, whole.body) == (DATA[:100_000], DATA)
    assert isinstance(cut.error, http.client.IncompleteRead)
    assert hub.sent_of[f"{REPO}/{PATH}"] == 400_000


def test_a_connection_is_reset(hub: FakeHub) -> None:
    hub.fail(Fault(cut_after=100_000, reset=True))

    got = ask(address(hub))

    assert isinstance(got.error, ConnectionResetError)
    assert DATA.startswith(got.body)


def test_a_fault_waits_for_its_turn_and_for_its_file(hub: FakeHub) -> None:
    hub.repositories[REPO].put("other.gguf", DATA)
    hub.fail(Fault(status=503, skip=1, times=2, path=PATH))
    where = address(hub)
    other = ask(f"{hub.url}/{REPO}/resolve/main/other.gguf").headers["Location"]

    seen = [ask(url).status for url in (where, other, where, other, where, where)]

    assert seen == [200, 200, 503, 200, 503, 200]


@pytest.mark.parametrize("status", [401, 403, 404, 416, 429, 500, 503])
@pytest.mark.parametrize("at", list(Stage))
def test_a_status_is_answered_where_it_should_be_and_for_ever_if_so(
    hub: FakeHub, status: int, at: Stage
) -> None:
    urls = {
        Stage.API: f"{hub.url}/api/models/{REPO}",
        Stage.RESOLVE: f"{hub.url}/{REPO}/resolve/main/{PATH}",
        Stage.BODY: address(hub),
    }

    hub.fail(Fault(at=at, status=status, times=None))

    assert [ask(urls[at]).status for _ in range(3)] == [status] * 3
    assert all(ask(url).status < 400 for stage, url in urls.items() if stage is not at)
    hub.heal()
    assert ask(urls[at]).status < 400


@pytest.mark.parametrize("when", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_too_many_requests_say_when_to_come_again(hub: FakeHub, when: str) -> None:
    hub.fail(too_many(when))

    got = ask(address(hub))

    assert (got.status, got.headers["Retry-After"]) == (429, when)


def test_a_login_page_comes_in_place_of_a_file(hub: FakeHub) -> None:
    hub.fail(login_page())

    got = ask(address(hub))

    assert (got.status, got.headers["Content-Type"]) == (200, "text/html")
    assert b"Log in" in got.body


@pytest.mark.parametrize("after", [None, 50_000])
def test_silence_lasts_until_the_client_leaves(hub: FakeHub, after: int | None) -> None:
    hub.fail(Fault(silent=True, cut_after=after))
    where = address(hub)

    if after is None:
        with pytest.raises(TimeoutError):
            ask(where, within_s=0.5)
    else:
        got = ask(where, within_s=0.5)
        assert isinstance(got.error, TimeoutError)
        assert got.body == DATA[:after]

    wait_until(lambda: hub.connections == 0, "the silent connection is closed")


@pytest.mark.parametrize("off", [1000, -1000])
def test_a_length_that_lies(hub: FakeHub, off: int) -> None:
    hub.fail(Fault(length_off=off))

    got = ask(address(hub))

    assert got.headers["Content-Length"] == str(len(DATA) + off)
    assert got.body == DATA[: len(DATA) + off]
    assert (got.error is not None) == (off > 0)


def test_a_total_that_lies(hub: FakeHub) -> None:
    hub.fail(Fault(total_off=5))

    got = ask(address(hub), Range="bytes=10-19")

    assert got.headers["Content-Range"] == f"bytes 10-19/{len(DATA) + 5}"
    assert (got.status, got.body) == (206, DATA[10:20])


def test_wrong_contents_have_the_right_length(hub: FakeHub) -> None:
    hub.fail(Fault(wrong=True))
    where = address(hub)

    wrong, right = ask(where), ask(where)

    assert len(wrong.body) == len(DATA)
    assert (wrong.body == DATA, right.body == DATA) == (False, True)


def test_a_file_changes_between_two_parts(hub: FakeHub) -> None:
    hub.fail(Fault(wrong=True, etag="another", skip=1, times=None))
    where = address(hub)
    first = ask(where, Range="bytes=0-9")

    second = ask(where, Range="bytes=10-19")
    checked = ask(where, Range="bytes=10-19", If_Range=first.headers["ETag"])

    assert first.body == DATA[:10]
    assert (second.headers["ETag"], second.body == DATA[10:20]) == ('"another"', False)
    assert (checked.status, len(checked.body)) == (200, len(DATA))


def test_ranges_are_ignored_once_or_for_ever(hub: FakeHub) -> None:
    hub.fail(Fault(whole=True))
    where = address(hub)

    sizes = [len(ask(where, Range="bytes=5-9").body) for _ in range(2)]
    hub.ignores_ranges = True
    sizes.append(len(ask(where, Range="bytes=5-9").body))

    assert sizes == [len(DATA), 5, len(DATA)]


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-", DATA), ("bytes=-7", DATA[-7:]), ("bytes=299990-400000", DATA[299_990:])],
)
def test_a_range_is_answered_as_asked(hub: FakeHub, asked: str, part: bytes) -> None:
    got = ask(address(hub), Range=asked)

    assert (got.status, got.body) == (206, part)
    assert got.headers["Content-Range"].endswith(f"-{len(DATA) - 1}/{len(DATA)}")


def test_a_range_beyond_the_end_is_416(hub: FakeHub) -> None:
    got = ask(address(hub), Range="bytes=300000-")

    assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_a_redirect_leads_elsewhere_and_still_tells_the_hash(hub: FakeHub) -> None:
    hub.fail(Fault(at=Stage.RESOLVE, location="http://elsewhere.invalid/m"))

    got = ask(f"{hub.url}/{REPO}/resolve/main/{PATH}")

    assert (got.status, got.headers["Location"]) == (307, "http://elsewhere.invalid/m")
    assert got.headers["X-Linked-ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'


def test_a_redirect_can_go_round_in_circles(hub: FakeHub) -> None:
    hub.fail(Fault(at=Stage.RESOLVE, location="", times=None))

    with pytest.raises(httpx2.TooManyRedirects):
        file_download.get_hf_file_metadata(f"{hub.url}/{REPO}/resolve/main/{PATH}", token=False)


def test_the_real_client_survives_cuts_and_gets_the_right_bytes(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(file_download.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.fail(Fault(cut_after=100_000), Fault(cut_after=50_000))

    path = HfApi(hub.url, token=False).hf_hub_download(REPO, PATH, cache_dir=tmp_path)

    assert Path(path).read_bytes() == DATA
    assert [asked.range for asked in hub.log if asked.host == "storage"] == [
        None,
        "bytes=100000-",
        "bytes=150000-",
    ]
