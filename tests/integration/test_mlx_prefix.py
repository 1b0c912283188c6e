"""What mlx-lm has read of a prompt outlives its process, in the words of llama.cpp's slots."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localllm.engines.base import Endpoint
from localllm.engines.workers.slot_requests import draft_of
from tests.mlx_smollm2 import mlx_smollm2
from tests.mlx_tiny import GEMMA, MAMBA, tiny_mlx
from tests.mlx_worker import CHAT, TEXT, Worker, running, serving

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]

TOOLS = "\n".join(
    f"Tool {name}: {what} Say {name} and a path, nothing else."
    for name, what in (
        ("read", "gives the text of a file, from its first line to its last."),
        ("write", "puts a text into a file, and makes the folders that it needs."),
        ("find", "lists all files whose names have a word in them."),
        ("grep", "lists all lines that have a word in them, with their files."),
        ("run", "starts a program in the folder, and gives what it prints."),
        ("test", "starts the tests, and gives the names of those that fail."),
        ("plan", "writes down what is to be done next, step by step."),
        ("ask", "asks the user, where it is not clear what is wanted."),
    )
)
AGENT = [
    {"role": "system", "content": f"You are a coding agent with tools.\n{TOOLS}"},
    {"role": "user", "content": "Read main.py"},
]
TITLES = [
    [
        {"role": "system", "content": f"You find a title of {words} words for what a user says."},
        {"role": "user", "content": "Please read the file main.py, and tell me what it does."},
    ]
    for words in ("three", "four", "five")
]
CONTEXT = 320
ROOM_BYTES = 30 * 2 * 512 * 3 * 64 * 2
"""Of the plan, for so much context: the conversation fits, three titles beside it do not."""

SPARE_TOKENS = 64
"""What may be read again beside what is new."""

Bytes = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="mlx-") as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Saved:
    """One conversation, as the first process has left it."""

    files: Path
    first: dict[str, Any]
    told: dict[str, Any]
    title_tokens: int

    @property
    def data(self) -> bytes:
        return (self.files / "agent.kv").read_bytes()


@pytest.fixture(scope="module")
def saved(folder: Path) -> Saved:
    files = folder / "files"
    files.mkdir()
    endpoint = Endpoint(socket=folder / "first.sock")
    with running(serving(context=CONTEXT, prefix_folder=files), endpoint, folder) as worker:
        first = turn(worker, AGENT)
        titles = [worker.ask(CHAT, messages=title, max_tokens=4) for title in TITLES]
        title_tokens = sum(title["usage"]["total_tokens"] for title in titles)
        return Saved(files, first, slot(worker, "save", filename="agent.kv"), title_tokens)


@pytest.fixture(scope="module")
def worker(folder: Path, saved: Saved) -> Iterator[Worker]:
    """Another process, with two slots."""
    endpoint = Endpoint(socket=folder / "second.sock")
    two = serving(context=1024, parallel=2, prefix_folder=saved.files)
    with running(two, endpoint, folder) as worker:
        yield worker


def turn(worker: Worker, messages: list[dict[str, str]], number: int = 0) -> dict[str, Any]:
    return worker.ask(CHAT, messages=messages, id_slot=number, max_tokens=4)


def next_turn(first: dict[str, Any]) -> list[dict[str, str]]:
    said = first["choices"][0]["message"]["content"]
    more = [{"role": "assistant", "content": said}, {"role": "user", "content": "Go on"}]
    return [*AGENT, *more]


def slot(worker: Worker, action: str, number: int = 0, **body: str) -> dict[str, Any]:
    return worker.ask(f"/slots/{number}?action={action}", **body)


def refused(worker: Worker, action: str, number: object = 0, **body: object) -> str:
    return str(worker.refusal(f"/slots/{number}?action={action}", **body)["message"])


def cached(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_short_requests_do_not_push_out_a_conversation_and_all_of_it_is_saved(
    saved: Saved,
) -> None:
    assert saved.told["n_saved"] == saved.first["usage"]["total_tokens"]
    bytes_per_token = saved.told["n_written"] / saved.told["n_saved"]
    assert saved.told["n_written"] + saved.title_tokens * bytes_per_token > ROOM_BYTES


def test_a_file_is_its_users_alone_and_no_draft_is_left(saved: Saved) -> None:
    (file,) = [file for file in saved.files.iterdir() if file.name != "mine.kv"]

    assert file.name == "agent.kv"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == saved.told["n_written"]


def test_another_process_goes_on_where_the_first_one_ended(worker: Worker, saved: Saved) -> None:
    restored = slot(worker, "restore", number=1, filename="agent.kv")
    second = turn(worker, next_turn(saved.first), number=1)
    anew = worker.ask(CHAT, messages=next_turn(saved.first), max_tokens=4, cache_prompt=False)

    assert restored["n_restored"] == saved.told["n_saved"]
    assert restored["id_slot"] == 1
    assert cached(second) >= restored["n_restored"] - SPARE_TOKENS
    assert cached(anew) == 0
    assert second["choices"] == anew["choices"]
    assert slot(worker, "save", 1, filename="mine.kv")["n_saved"] == second["usage"]["total_tokens"]


def said(data: bytes, **changes: str) -> bytes:
    """Change what a file says of itself."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    of_ours = {f"0.{name}": value for name, value in changes.items()}
    assert of_ours.keys() <= header["__metadata__"].keys()
    header["__metadata__"].update(of_ours)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda data: data[:40], id="cut off in its header"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: bytes(len(data)), id="zeros"),
        pytest.param(lambda data: b"GGUF" * 1000, id="of another kind"),
        pytest.param(lambda data: said(data, model="another"), id="another model's"),
        pytest.param(lambda data: said(data, mlx_lm="0.31.0"), id="another version's"),
        pytest.param(lambda data: said(data, format="2"), id="another format"),
        pytest.param(lambda data: said(data, tokens="[1, 2]"), id="other tokens"),
        pytest.param(lambda data: said(data, lengths="[]"), id="nothing"),
        pytest.param(lambda data: said(data, tokens="[[]]"), id="no tokens"),
        pytest.param(lambda data: said(data, tokens="{"), id="no JSON"),
        pytest.param(lambda data: (mlx_smollm2() / "config.json").read_bytes(), id="a text"),
    ],
)
def test_a_file_that_is_not_what_was_saved_is_refused_and_answers_go_on(
    worker: Worker, saved: Saved, damage: Bytes
) -> None:
    file = saved.files / "bad.kv"
    file.write_bytes(damage(saved.data))
    try:
        message = refused(worker, "restore", filename="bad.kv")
    finally:
        file.unlink()

    assert message.startswith("filename: ")
    assert slot(worker, "save", filename="none.kv")["n_saved"] == 0, "the slot is empty then"
    assert worker.ask(TEXT, prompt="Two", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_another_models_file_is_refused(worker: Worker, saved: Saved) -> None:
    weights = (mlx_smollm2() / "model.safetensors").read_bytes()
    file = saved.files / "weights.kv"
    file.write_bytes(weights)
    try:
        assert refused(worker, "restore", filename="weights.kv")
    finally:
        file.unlink()


def test_what_is_no_file_is_not_opened(worker: Worker, saved: Saved) -> None:
    (saved.files / "link.kv").symlink_to(saved.files / "agent.kv")
    (saved.files / "folder.kv").mkdir()
    try:
        messages = [
            refused(worker, "restore", filename=name)
            for name in ("link.kv", "folder.kv", "missing.kv")
        ]
    finally:
        (saved.files / "link.kv").unlink()
        (saved.files / "folder.kv").rmdir()

    no_file = "filename: it is no file"
    assert messages == [no_file, no_file, "filename: No such file or directory"]


@pytest.mark.parametrize(
    "name", ["../agent.kv", "/tmp/agent.kv", ".agent.kv", "..", "", "a\0b", "ä.kv", "a" * 200, 7]
)
@pytest.mark.parametrize("action", ["save", "restore"])
def test_a_name_that_is_not_plain_is_refused(worker: Worker, action: str, name: object) -> None:
    assert "plain name" in refused(worker, action, filename=name)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/slots/2?action=save", 400),
        ("/slots/-1?action=save", 400),
        ("/slots/9999999999999?action=save", 400),
        ("/slots/x?action=save", 400),
        ("/slots/0?action=throw", 400),
        ("/slots/0", 400),
        ("/slots/0/more?action=save", 404),
        ("/slots", 404),
    ],
)
def test_what_is_no_slot_or_no_action_is_refused(worker: Worker, path: str, status: int) -> None:
    worker.refusal(path, status, filename="a.kv")


def test_a_slot_that_was_erased_holds_nothing_any_more(worker: Worker, saved: Saved) -> None:
    prompt = list(range(800, 840))
    worker.ask(TEXT, prompt=prompt, max_tokens=2, id_slot=0)

    erased = slot(worker, "erase")
    told = slot(worker, "save", filename="none.kv")
    again = worker.ask(TEXT, prompt=prompt, max_tokens=1)

    assert erased == {"id_slot": 0, "n_erased": 42}
    assert (told["n_saved"], told["n_written"]) == (0, 0)
    assert not (saved.files / "none.kv").exists()
    assert cached(again) == 0
    assert slot(worker, "erase")["n_erased"] == 0


def test_what_the_disk_does_not_take_is_told_and_answers_go_on(
    worker: Worker, saved: Saved
) -> None:
    worker.ask(TEXT, prompt=list(range(900, 910)), max_tokens=1, id_slot=0)
    draft = draft_of(saved.files / "full.kv")
    draft.mkdir()
    try:
        error = worker.refusal("/slots/0?action=save", 500, filename="full.kv")
    finally:
        draft.rmdir()

    assert "cannot be saved" in error["message"]
    assert not (saved.files / "full.kv").exists()
    assert worker.ask(TEXT, prompt="Two", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_a_slot_is_saved_and_restored_while_another_answers(worker: Worker, saved: Saved) -> None:
    long = {"prompt": "One,", "logit_bias": {"2": -100}, "max_tokens": 16, "id_slot": 1}
    worker.ask(TEXT, prompt=list(range(1000, 1040)), max_tokens=1, id_slot=0)
    alone = worker.ask(TEXT, **{**long, "cache_prompt": False})

    with worker.asked(TEXT, {**long, "stream": True, "cache_prompt": False}) as stream:
        events = [stream.readline()]
        told = slot(worker, "save", filename="beside.kv")
        restored = slot(worker, "restore", filename="beside.kv")
        events += stream.read().splitlines()
    (saved.files / "beside.kv").unlink()

    texts = [json.loads(line[6:])["choices"][0]["text"] for line in events if b'"text"' in line]
    assert (told["n_saved"], restored["n_restored"]) == (41, 41)
    assert "".join(texts) == alone["choices"][0]["text"]


def test_what_an_answer_was_until_it_was_broken_off_is_not_read_again(worker: Worker) -> None:
    prompt = list(range(1200, 1220))
    body = {"prompt": prompt, "logit_bias": {"2": -100}, "stream": True, "logprobs": 0}
    with worker.asked(TEXT, body) as answer:
        events = [json.loads(line[6:]) for _ in range(12) if (line := answer.readline().strip())]
    read = [token["id"] for event in events for token in event["choices"][0]["logprobs"]["content"]]

    on = worker.ask(TEXT, prompt=[*prompt, *read, 500], max_tokens=1)

    assert len(read) > 3
    assert cached(on) >= len(prompt) + len(read) - 1


def test_what_was_read_of_a_prompt_until_it_was_broken_off_is_kept(tmp_path: Path) -> None:
    """Its client may have lost patience, and ask the same again."""
    import mlx_lm  # noqa: PLC0415

    from localllm.engines.workers.mlx.generation import Batches  # noqa: PLC0415

    model, _ = mlx_lm.load(str(tiny_mlx(tmp_path / "model", GEMMA)))  # type: ignore[misc]
    prompt, kept = list(range(1, 101)), list[tuple[list[int], Any]]()
    batches = Batches(model, keep=lambda *told: kept.append(told), prefill_step_size=16)
    read, waits = batches.insert([prompt, prompt])
    batches.prefill_batch_size = 1
    batches.next()
    batches.next()

    batches.remove([read, waits])

    ((tokens, cache),) = kept
    assert tokens == prompt[:32]
    assert [layer.offset for layer in cache] == [32, 32]


def test_without_a_folder_nothing_is_saved(folder: Path) -> None:
    with running(serving(), Endpoint(socket=folder / "third.sock"), folder) as worker:
        error = worker.refusal("/slots/0?action=save", 501, filename="a.kv")
        erased = slot(worker, "erase")

    assert error["type"] == "not_supported_error"
    assert erased["n_erased"] == 0


def test_a_cache_of_fewer_bits_is_saved_as_it_is_and_not_taken_for_another(
    tmp_path: Path, folder: Path
) -> None:
    few, prompt = serving(kv_type="q8_0", prefix_folder=tmp_path), list(range(1300, 1340))
    with running(few, Endpoint(socket=folder / "q1.sock"), folder) as worker:
        first = worker.ask(TEXT, prompt=prompt, max_tokens=3, logprobs=0, id_slot=0)
        told = slot(worker, "save", filename="a.kv")
    said = [token["id"] for token in first["choices"][0]["logprobs"]["content"]]
    with running(few, Endpoint(socket=folder / "q2.sock"), folder) as worker:
        slot(worker, "restore", filename="a.kv")
        second = worker.ask(TEXT, prompt=[*prompt, *said, 500], max_tokens=1)
    whole = serving(prefix_folder=tmp_path)
    with running(whole, Endpoint(socket=folder / "q3.sock"), folder) as worker:
        message = refused(worker, "restore", filename="a.kv")

    assert cached(second) >= told["n_saved"] - 1 >= len(prompt)
    assert "another model" in message


@pytest.mark.parametrize("kind", [GEMMA, MAMBA])
def test_what_cannot_be_cut_back_is_gone_on_with_in_its_own_words_or_others(
    tmp_path: Path, folder: Path, kind: str
) -> None:
    """A window, or a state: the answer is kept as it was said, and what comes before it as well."""
    model = tiny_mlx(tmp_path / "model", kind)
    told = serving(model_file=model, prefix_folder=tmp_path, layers=2, host_cache_bytes=8 << 20)
    prompt = [1 + n * 7 % 200 for n in range(100)]
    with running(told, Endpoint(socket=folder / f"{kind}1.sock"), folder) as worker:
        first = worker.ask(TEXT, prompt=prompt, max_tokens=20, logprobs=0, id_slot=0)
        said = [token["id"] for token in first["choices"][0]["logprobs"]["content"]]
        assert slot(worker, "save", filename="a.kv")["n_saved"] == 120
    with running(told, Endpoint(socket=folder / f"{kind}2.sock"), folder) as worker:
        restored = slot(worker, "restore", filename="a.kv")

        other = worker.ask(TEXT, prompt=[*prompt, 3, *said], max_tokens=5, logprobs=0)
        same = worker.ask(TEXT, prompt=[*prompt, *said, 3], max_tokens=5, logprobs=0)
        anew = worker.ask(
            TEXT, prompt=[*prompt, *said, 3], max_tokens=5, logprobs=0, cache_prompt=False
        )

    assert restored["n_restored"] == 120
    assert cached(same) == 120
    assert cached(other) == 99
    assert [same["choices"][0]["text"], cached(anew)] == [anew["choices"][0]["text"], 0]
