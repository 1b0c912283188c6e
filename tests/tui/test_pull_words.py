"""What is said of a download. No screen."""

from __future__ import annotations

import pytest

from localllm.api.pull_views import EngineFetchView, PullErrorView, ThenView
from localllm.api.views import ServeReply, ServeRequest
from localllm.tui.pull_words import details_of, row_of, then_of
from tests.unit.cli.a_pull import a_file, a_pull

WANTED = ServeRequest(model="m")
REPLY = ServeReply(id="m", instance="m:1", already=False, stand_in=False, reason="it fits")
REFUSED = PullErrorView(message="It does not fit.\n  why: it is big\n  fix: another", code="x")
ENGINE = EngineFetchView(file="engine.tar.gz", here=1 << 20, size=4 << 20)


def test_a_slow_download_is_not_said_to_stand_still() -> None:
    assert row_of(a_pull(speed=40 * 1024.0))["speed"].plain.strip() == "40.0 KiB/s"


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (None, ""),
        (ThenView(how="serve", request=WANTED, reply=None, error=None), "then served"),
        (ThenView(how="switch", request=WANTED, reply=None, error=None), "then switched to"),
        (ThenView(how="switch", request=WANTED, reply=REPLY, error=None), ""),
        (ThenView(how="switch", request=WANTED, reply=None, error=REFUSED),
         "not served: It does not fit."),
        (ThenView(how="switch", request=WANTED, reply=None, error=None, engine=ENGINE),
         "its engine is fetched: 1.0/4.0 MiB"),
    ],
)  # fmt: skip
def test_what_a_download_is_for_is_told_until_that_is_done(
    then: ThenView | None, said: str
) -> None:
    pull = a_pull(then=then)

    assert then_of(pull) == said
    assert row_of(pull)["note"].plain == said
    assert (said in details_of(pull, 100).plain.splitlines()) is bool(said)


def test_a_failure_is_in_the_row_with_its_cause_and_in_the_details_with_what_to_do() -> None:
    pull = a_pull(state="failed", error=REFUSED)

    assert row_of(pull)["note"].plain == "It does not fit. it is big"
    assert "next: another" in details_of(pull, 100).plain


def test_the_bars_of_files_stand_below_each_other_right_beside_the_longest_name() -> None:
    pull = a_pull(a_file("a.gguf"), a_file("a-longer-name.gguf"))

    *_, short, longer = details_of(pull, 100).plain.splitlines()

    assert longer.startswith("a-longer-name.gguf  ━")
    assert short.index("━") == longer.index("━")
