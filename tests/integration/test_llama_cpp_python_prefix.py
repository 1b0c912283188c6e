"""What llama-cpp-python's worker keeps of a prompt, where a cache cannot be cut back everywhere.

The models are tiny and random: only whether two ways to read a prompt come to the same matters.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from localllm.engines.workers.http import Listening, Refusal
from localllm.engines.workers.llama_cpp_python.model import Model
from localllm.engines.workers.llama_cpp_python.request import Text
from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings, binding
from tests.llama_cpp_python import require_llama_cpp_python

pytestmark = [
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module", autouse=True)
def _engine_is_here() -> None:
    require_llama_cpp_python()


TOKENS, WIDTH, LAYERS, WINDOW, CONTEXT = 512, 64, 4, 32, 1024
HELD = [random.Random(n).randrange(TOKENS) for n in range(600)]
NEW = [7] * 20

Add = Callable[..., None]


def write_model(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.gguf"
    writer = gguf.GGUFWriter(path, kind)
    chance = np.random.default_rng(1)

    def add(name: str, *shape: int, scale: float = 2.0) -> None:
        values = chance.standard_normal(shape) * scale / np.sqrt(shape[-1])
        ones = len(shape) == 1
        writer.add_tensor(f"{name}.weight", (np.ones(shape) if ones else values).astype("float32"))

    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(TOKENS)
    writer.add_context_length(4 * CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    add("token_embd", TOKENS, WIDTH)
    add("output_norm", WIDTH)
    add("output", TOKENS, WIDTH, scale=8.0)
    (_as_state if kind == "mamba" else _as_window)(writer, add)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _as_state(writer: gguf.GGUFWriter, add: Add) -> None:
    """A model that remembers all it read in one state."""
    inner, state, rank = 2 * WIDTH, 16, 4
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_layer_norm_rms_eps(1e-5)
    for layer in (f"blk.{number}" for number in range(LAYERS)):
        add(f"{layer}.attn_norm", WIDTH)
        add(f"{layer}.ssm_in", 2 * inner, WIDTH)
        add(f"{layer}.ssm_conv1d", inner, 4)
        add(f"{layer}.ssm_x", rank + 2 * state, inner)
        add(f"{layer}.ssm_dt", inner, rank)
        add(f"{layer}.ssm_out", WIDTH, inner)
        for name, shape, value in (
            ("ssm_conv1d.bias", (inner,), 0.0),
            ("ssm_dt.bias", (inner,), 0.0),
            ("ssm_a", (inner, state), -0.05),
            ("ssm_d", (inner,), 1.0),
        ):
            writer.add_tensor(f"{layer}.{name}", np.full(shape, value, "float32"))


def _as_window(writer: gguf.GGUFWriter, add: Add) -> None:
    """A model that in most layers looks a few tokens back, and has a cache for no more."""
    heads, kv_heads, size = 4, 2, 16
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_sliding_window(WINDOW)
    for layer in (f"blk.{number}" for number in range(LAYERS)):
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            add(f"{layer}.{norm}", WIDTH)
        for norm in ("attn_q_norm", "attn_k_norm"):
            add(f"{layer}.{norm}", size)
        add(f"{layer}.attn_q", heads * size, WIDTH)
        add(f"{layer}.attn_k", kv_heads * size, WIDTH)
        add(f"{layer}.attn_v", kv_heads * size, WIDTH)
        add(f"{layer}.attn_output", WIDTH, heads * size)
        add(f"{layer}.ffn_gate", 2 * WIDTH, WIDTH)
        add(f"{layer}.ffn_up", 2 * WIDTH, WIDTH)
        add(f"{layer}.ffn_down", WIDTH, 2 * WIDTH)


@pytest.fixture(scope="module", params=["mamba", "gemma3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(tmp_path_factory.mktemp("models"), request.param)


def load(folder: Path, kind: str) -> Model:
    file = write_model(folder, kind)
    settings = WorkerSettings(
        model=str(file),
        alias=kind,
        context=CONTEXT,
        kv_type="f16",
        micro_batch=64,
        threads=2,
        whole=False,
        devices=[],
        split=[],
        sampling={"temperature": 0.0},
        listening=Listening("unused", None),
        prefix_folder=str(folder),
    )
    model, lib = Model(settings), binding()
    lib.llama_log_set(lib.llama_log_callback(), None)  # its own log ends with it, others may go on
    return model


def folder_of(model: Model) -> Path:
    assert model.slot.folder is not None
    return model.slot.folder


def answer(model: Model, prompt: list[int], *, cached: bool = True) -> tuple[int, list[int]]:
    """Return how much was known, and what follows."""
    known = model.read(prompt, cached=cached, gone=lambda: False)
    tokens = model.tokens(prompt, Text(prompt=[*prompt]), None)
    return known, list(itertools.islice(tokens, 16))


@pytest.mark.parametrize("kept", [600, 599, 590, 300, 60, 1, 0])
def test_a_prompt_means_the_same_however_much_of_it_was_known(model: Model, kept: int) -> None:
    prompt = HELD[:kept] + NEW
    _, meant = answer(model, prompt, cached=False)
    answer(model, HELD, cached=False)

    known, said = answer(model, prompt)

    assert said == meant
    assert known in {kept, 0}


def test_what_follows_the_last_answer_is_all_that_is_read(model: Model) -> None:
    _, said = answer(model, HELD, cached=False)

    known, _ = answer(model, [*HELD, *said, *NEW])

    assert known == len(HELD) + len(said) - 1


def test_a_prompt_that_was_given_up_half_way_leaves_nothing_wrong_behind(model: Model) -> None:
    prompt = HELD[:10] + list(reversed(HELD))
    _, meant = answer(model, prompt, cached=False)
    answer(model, HELD, cached=False)
    looks = itertools.count()
    with pytest.raises(ConnectionAbortedError):
        model.read(prompt, cached=True, gone=lambda: next(looks) > 300)

    _, said = answer(model, prompt)

    assert said == meant
    assert len(set(said)) > 1


@pytest.mark.parametrize("kept", [600, 599, 598, 597, 590, 300, 60, 1, 0])
def test_a_prompt_means_the_same_after_what_is_held_was_saved_and_put_back(
    model: Model, kept: int
) -> None:
    prompt = HELD[:kept] + NEW
    _, meant = answer(model, prompt, cached=False)
    model.read([*HELD, 0], cached=False, gone=lambda: False)
    saved = model.slot.save("held")
    answer(model, NEW, cached=False)

    restored = model.slot.restore("held")
    known, said = answer(model, prompt)

    assert saved == restored
    assert saved.tokens == len(HELD)
    assert said == meant
    assert known in {kept, 0}
    assert known == kept or kept < len(HELD), "what goes on is known"


@pytest.mark.parametrize(("kind", "known"), [("gemma3", len(HELD) - 1), ("mamba", 0)])
def test_a_window_that_was_put_back_can_be_cut_by_one_token_and_a_state_cannot(
    tmp_path: Path, kind: str, known: int
) -> None:
    """So the very prompt that was answered last is not read again as a whole."""
    model = load(tmp_path, kind)
    model.read([*HELD, 0], cached=False, gone=lambda: False)
    model.slot.save("held")
    model.slot.restore("held")

    assert model.read(HELD, cached=True, gone=lambda: False) == known


def test_the_end_of_what_broke_off_is_not_saved(model: Model) -> None:
    model.read([*HELD, 0], cached=False, gone=lambda: False)
    looks = itertools.count()
    with pytest.raises(ConnectionAbortedError):
        model.read([5, *HELD], cached=True, gone=lambda: next(looks) > 300)
    _, meant = answer(model, [5, *HELD, *NEW], cached=False)
    with pytest.raises(ConnectionAbortedError):
        model.read([5, *HELD], cached=False, gone=lambda: next(looks) > 600)

    saved = model.slot.save("broken-off")
    model.slot.erase()
    if saved.tokens:
        model.slot.restore("broken-off")

    assert answer(model, [5, *HELD, *NEW]) == (saved.tokens, meant)


def test_another_models_file_is_refused_and_nothing_is_held_then(tmp_path: Path) -> None:
    models = {kind: load(tmp_path, kind) for kind in ("mamba", "gemma3")}
    for kind, model in models.items():
        model.read([*HELD, 0], cached=False, gone=lambda: False)
        model.slot.save(kind)

    for model, other in ((models["mamba"], "gemma3"), (models["gemma3"], "mamba")):
        with pytest.raises(Refusal, match="another model"):
            model.slot.restore(other)
        assert model.slot.erase() == 0


def test_a_damaged_file_never_ends_the_process_nor_spoils_what_comes_after(model: Model) -> None:
    """That it is whole the daemon knows by its hash; a byte of the state may be any."""
    chance, folder = random.Random(3), folder_of(model)
    _, meant = answer(model, HELD, cached=False)
    model.read([*HELD, 0], cached=False, gone=lambda: False)
    model.slot.save("whole")
    whole = (folder / "whole").read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        state = 12 + 4 * len(HELD)
        reach = chance.choice([40, 600, len(whole) - state])
        for _ in range(chance.choice([1, 1, 4, 50])):
            damaged[state + chance.randrange(reach)] = chance.randrange(256)
        del damaged[chance.choice([len(whole), chance.randrange(len(whole))]) :]
        (folder / "damaged").write_bytes(damaged)
        try:
            model.slot.restore("damaged")
        except Refusal:
            refused += 1

    assert refused > 200
    assert answer(model, HELD, cached=False)[1] == meant
