"""What is served for whom, and what of it the next daemon serves again."""

from __future__ import annotations

from pathlib import Path

from localllm.api.views import ServeRequest
from localllm.events import InstanceId, ModelId
from localllm.supervisor.asks import Asks
from localllm.supervisor.remembered import Remembered, read_remembered

A, B = ModelId("a"), ModelId("b")
NEW = InstanceId("b:1")
FOR_A, FOR_B = ServeRequest(model="/models/a.gguf"), ServeRequest(model="/models/b.gguf")
LARGER = ServeRequest(model="/models/a.gguf", context=8192)


def kept(asks: Asks) -> Remembered:
    return read_remembered(asks.file)


def asks_for_a(tmp_path: Path) -> Asks:
    asks = Asks(tmp_path / "serving.json")
    asks.add(A, FOR_A)
    return asks


def test_of_one_model_the_newest_ask_is_kept_and_the_latest_comes_last(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.add(B, FOR_B)
    asks.add(A, LARGER)

    assert kept(asks).serving == (FOR_B, LARGER)
    assert (asks.find(A), asks.model_of(FOR_B), asks.model_of(FOR_A)) == (LARGER, B, None)


def test_what_replaces_another_is_kept_once_it_is_ready(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.try_(NEW, B, FOR_B, [A])
    assert kept(asks).serving == (FOR_A,)
    assert (asks.find(B), asks.is_for_good(B)) == (FOR_B, True)

    asks.succeeded(NEW)

    assert kept(asks).serving == (FOR_B,)
    assert asks.find(A) is None


def test_what_fails_to_replace_another_is_not_kept(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.try_(NEW, A, LARGER, [])

    asks.failed(NEW)

    assert (kept(asks).serving, asks.find(A)) == ((FOR_A,), FOR_A)
    asks.succeeded(NEW)
    assert kept(asks).serving == (FOR_A,), "it is over"


def test_a_pinned_model_is_kept_whatever_takes_its_place(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.pin(A, pinned=True)
    asks.try_(NEW, B, FOR_B, [A])

    asks.succeeded(NEW)

    assert kept(asks) == Remembered((FOR_A, FOR_B), ("a",))


def test_what_a_request_has_loaded_is_known_and_not_kept(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.add_passing(B, FOR_B)

    assert (asks.find(B), asks.is_for_good(B)) == (FOR_B, False)
    assert kept(asks).serving == (FOR_A,)


def test_what_was_stopped_is_forgotten_pin_and_all(tmp_path: Path) -> None:
    asks = asks_for_a(tmp_path)
    asks.pin(A, pinned=True)

    asks.drop(A)

    assert kept(asks) == Remembered()
    assert not asks.is_pinned(A)


def test_what_an_earlier_daemon_served_is_kept_while_it_is_planned_again(tmp_path: Path) -> None:
    before = asks_for_a(tmp_path)
    before.add(B, FOR_B)
    before.pin(A, pinned=True)

    asks = Asks(before.file)
    assert asks.restore() == Remembered((FOR_A, FOR_B), ("a",))
    asks.add(A, FOR_A)  # the first is planned; then the daemon is killed

    assert set(kept(asks).serving) == {FOR_A, FOR_B}
    assert asks.is_pinned(A)


def test_a_disk_that_is_full_costs_the_memory_alone(tmp_path: Path) -> None:
    asks = Asks(tmp_path / "no-folder" / "serving.json")
    (tmp_path / "no-folder").write_text("in the way")

    asks.add(A, FOR_A)

    assert asks.find(A) == FOR_A
