"""What a worker is asked to do with its slots."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.engines.workers.http import Refusal
from localllm.engines.workers.slot_requests import (
    Action,
    SlotRequest,
    draft_of,
    no_folder,
    slot_request,
)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/slots/0?action=save", {"filename": "a.kv"}, SlotRequest(0, Action.SAVE, "a.kv")),
        ("/slots/1?action=save", {"filename": "0123.kv"}, SlotRequest(1, Action.SAVE, "0123.kv")),
        ("/slots/0?action=restore", {"filename": "a b"}, SlotRequest(0, Action.RESTORE, "a b")),
        ("/slots/01?action=restore", {"filename": "-"}, SlotRequest(1, Action.RESTORE, "-")),
        (
            "/slots/0?action=restore",
            {"filename": "x" * 128},
            SlotRequest(0, Action.RESTORE, "x" * 128),
        ),
        ("/slots/0?action=erase", {}, SlotRequest(0, Action.ERASE, "")),
        ("/slots/1?action=erase", {"filename": "../x"}, SlotRequest(1, Action.ERASE, "")),
    ],
)
def test_a_slot_is_saved_restored_or_erased_as_llama_cpps_server_is_asked_to(
    path: str, body: dict[str, object], asked: SlotRequest
) -> None:
    assert slot_request(path, body, 2) == asked


@pytest.mark.parametrize("path", ["/v1/completions", "/slots", "/slots/0/more?action=save"])
def test_another_path_asks_nothing_of_a_slot(path: str) -> None:
    assert slot_request(path, {"filename": "a.kv"}, 2) is None


@pytest.mark.parametrize("number", ["", "2", "-1", "+1", "x", "1.0", "1e0", "9" * 5000])
def test_a_slot_that_is_not_there_is_refused_and_named(number: str) -> None:
    with pytest.raises(Refusal, match="no slot") as refused:
        slot_request(f"/slots/{number}?action=save", {"filename": "a.kv"}, 2)

    assert f"no slot {number[:20]}," in str(refused.value)
    assert refused.value.status == 400


@pytest.mark.parametrize("query", ["", "?action=", "?action=load", "?action=save&action=erase"])
def test_what_is_no_action_is_refused_with_those_that_are(query: str) -> None:
    with pytest.raises(Refusal, match=r"slot .*save, restore or erase") as refused:
        slot_request(f"/slots/0{query}", {"filename": "a.kv"}, 1)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "name",
    [
        *["", ".", "..", ".kv", " a", "../a", "/a", "a/b", "a\\b", "x" * 129, "ü"],
        *["a\0", "a\n", "a\nb", "a\x1b[0m"],
        *[None, 7, ["a"]],
    ],
)
@pytest.mark.parametrize("action", ["save", "restore"])
def test_a_name_that_is_not_plainly_one_of_a_file_is_refused(action: str, name: object) -> None:
    with pytest.raises(Refusal, match=r"filename: .*plain name"):
        slot_request(f"/slots/0?action={action}", {"filename": name}, 1)


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(Refusal, match="filename:"):
        slot_request("/slots/0?action=save", {}, 1)


def test_that_there_is_no_folder_is_told_as_llama_cpps_server_does() -> None:
    refusal = no_folder()

    assert (refusal.status, refusal.body["error"]["type"]) == (501, "not_supported_error")


@pytest.mark.parametrize("name", ["a.kv", "a.draft", "a.kv.draft", "a"])
def test_a_draft_is_beside_its_file_under_a_name_that_nobody_can_ask_for(name: str) -> None:
    draft = draft_of(Path("/slots") / name)

    assert (draft.parent, draft.suffix) == (Path("/slots"), ".draft")
    with pytest.raises(Refusal):
        slot_request("/slots/0?action=save", {"filename": draft.name}, 1)
