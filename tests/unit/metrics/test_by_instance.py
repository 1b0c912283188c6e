"""What has come of each instance: it only grows, so that what it grew by is the speed."""

from __future__ import annotations

from localllm.metrics.by_instance import ByInstance, Flow
from localllm.metrics.callers import Caller
from localllm.metrics.live import Api, Live
from localllm.metrics.requests import Requests
from localllm.metrics.savings import REMOTE

CALLER = Caller()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def begun(requests: Requests, instance: str = "a:q8_0:4096", engine: str = "fake") -> Live:
    live = requests.begin(Api.CHAT, None, CALLER, stream=True)
    live.admitted(instance, "a", engine)
    return live


def a_count() -> tuple[Requests, ByInstance]:
    requests, counts = Requests(CLOCK), ByInstance()
    requests.when_one_ends.append(counts.finished)
    return requests, counts


def test_tokens_under_way_count_as_they_come() -> None:
    requests, counts = a_count()
    live = begun(requests)
    live.piece(3)

    assert counts.of("a:q8_0:4096", requests.live()).generated_tokens == 3
    live.piece(2)
    assert counts.of("a:q8_0:4096", requests.live()).generated_tokens == 5


def test_what_is_over_counts_once() -> None:
    requests, counts = a_count()
    live = begun(requests)
    live.piece(3)
    live.used(prompt=100, cached=40)
    live.ended(200)

    told = counts.of("a:q8_0:4096", requests.live())

    assert (told.generated_tokens, told.read_tokens) == (3, 60)


def test_an_engine_that_corrects_its_count_takes_nothing_back() -> None:
    requests, counts = a_count()
    live = begun(requests)
    live.piece(9)
    counts.of("a:q8_0:4096", requests.live())

    live.used(generated=7)
    live.ended(200)

    assert counts.of("a:q8_0:4096", requests.live()).generated_tokens == 9


def test_a_prompt_counts_as_far_as_it_is_read_without_what_was_cached() -> None:
    requests, counts = a_count()
    live = begun(requests)
    live.progressed(300, 1_000, cached=100)

    assert counts.of("a:q8_0:4096", requests.live()).read_tokens == 200


def test_the_newest_first_token_is_told_also_when_an_older_request_ends_later() -> None:
    requests, counts = a_count()
    CLOCK.now = 0.0
    old, new = begun(requests), begun(requests)
    CLOCK.now = 1.0
    old.piece()
    CLOCK.now = 4.0
    new.piece()
    new.ended(200)
    old.ended(200)

    assert counts.of("a:q8_0:4096", requests.live()).first_token_s == 4.0


def test_each_instance_has_its_own_and_what_a_server_elsewhere_writes_is_nobodys() -> None:
    requests, counts = a_count()
    begun(requests, "b:q8_0:4096").piece(4)
    begun(requests, engine=REMOTE).piece(4)

    assert counts.of("a:q8_0:4096", requests.live()) == Flow()
    assert counts.of("b:q8_0:4096", requests.live()).generated_tokens == 4
