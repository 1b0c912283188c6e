"""Runs in the child: one loaded model, and what a request means in mlx-lm's words."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

import mlx_lm
from mlx_lm.server import (
    CompletionRequest,
    LogitsProcessorArguments,
    ModelDescription,
    SamplingArguments,
)

from localllm.engines.workers.http import invalid
from localllm.engines.workers.mlx.generation import (
    Arguments,
    Attend,
    Generation,
    Generator,
    Provider,
)
from localllm.engines.workers.mlx.memory import Limits
from localllm.engines.workers.mlx.request import Abilities, Chat, Request, Text
from localllm.engines.workers.mlx.scoring import score
from localllm.engines.workers.mlx.slot_files import SlotFiles
from localllm.engines.workers.mlx.worker import WorkerSettings
from localllm.engines.workers.scores import score_request

FINGERPRINT = f"mlx-lm-{mlx_lm.__version__}"
_SAMPLING = {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "min_p": 0.05}
"""What llama.cpp's server takes where nobody says anything, so that engines answer alike."""

_PENALIZED_TOKENS = 64
"""How far back penalties look. Source: llama.cpp, common/common.h, penalty_last_n."""

_KV_GROUP = 64
_SEEDS = 1 << 63
_NEVER = -1e9
"""Of a token's logit, which is then not chosen."""

_SPACES = ("\u0120", "\u2581", " ")
_THE_MODEL = ModelDescription(model="default_model", draft="default_model", adapter=None)  # type: ignore[arg-type]


class Model:
    """A loaded model that can be asked from any thread."""

    def __init__(self, settings: WorkerSettings, limits: Limits) -> None:
        self._settings = settings
        self._provider = Provider(_as_mlx_says(settings, limits))
        self._generator = Generator(
            self._provider,
            context=settings.context,
            kept_bytes=limits.caches,
            slots=settings.parallel,
        )
        self._provider.wait_until_loaded()
        self.slot_files = SlotFiles(self._generator, settings)

    @property
    def abilities(self) -> Abilities:
        tokenizer: Any = self._provider.tokenizer
        return Abilities(
            tools=tokenizer.has_tool_calling,
            images=self._provider.processor is not None,
            vocabulary=self.vocabulary,
        )

    @property
    def vocabulary(self) -> int:
        tokenizer: Any = self._provider.tokenizer
        return len(tokenizer)

    def tokens_of(self, text: str, *, add_special: bool) -> list[int]:
        """Cut a text into tokens."""
        tokenizer: Any = self._provider.tokenizer
        begins = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        return list(tokenizer.encode(text, add_special_tokens=add_special and not begins))

    def text_of(self, tokens: list[int]) -> str:
        """Join tokens as they are; many tokenizers would drop spaces before punctuation."""
        tokenizer: Any = self._provider.tokenizer
        return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def prompt_text(self, chat: Chat, body: dict[str, Any]) -> str:
        """Turn a chat into one text, as mlx-lm does before it answers.

        Raises:
            Refusal: The model's template does not take these messages.
        """
        tokenizer: Any = self._provider.tokenizer
        messages = [_for_template(message) for message in body["messages"]]
        try:
            text = tokenizer.apply_chat_template(
                messages,
                tools=tools_of(chat, body),
                add_generation_prompt=True,
                tokenize=False,
                **chat.template_settings,
            )
        except Exception as error:  # a template may raise what it likes
            raise invalid(f"messages: the model's chat template refuses them: {error}") from error
        return str(text)

    def start(self, request: Request, body: dict[str, Any], attend: Attend) -> Generation:
        """Start to answer; it ends by itself, or by `stop`.

        Args:
            attend: Called again and again while the caller waits; may raise.

        Raises:
            Refusal: The prompt is too long, or not what the model's template takes.
        """
        return Generation(self._generator, _asked(request, body), self._arguments(request), attend)

    def scores(self, body: dict[str, Any], attend: Attend) -> list[object]:
        """Say how likely given tokens are.

        Raises:
            Refusal: The request is wrong, or too long.
        """
        context = self._settings.context
        asked = score_request(body, vocabulary=self.vocabulary, context=context)
        return score(self._generator, asked, attend)

    def token_text(self, token: int) -> str:
        """Return what one token stands for."""
        tokenizer: Any = self._provider.tokenizer
        return str(tokenizer.decode([token]))

    def begins_word(self, token: int) -> bool:
        """Tell whether a token begins with a space, as byte-level or sentencepiece's marks say."""
        tokenizer: Any = self._provider.tokenizer
        return str(tokenizer.convert_ids_to_tokens(token)).startswith(_SPACES)

    def join(self) -> None:
        """Wait until nothing can be generated any more."""
        self._generator.join()  # type: ignore[no-untyped-call]

    def _arguments(self, request: Request) -> Arguments:
        return Arguments(
            model=_THE_MODEL,
            sampling=self._sampling(request),
            logits=_logits(request, self._ends),
            stop_words=[],
            max_tokens=request.most_tokens or self._settings.context,
            num_draft_tokens=0,
            logprobs=request.alternatives is not None,
            top_logprobs=request.alternatives or 0,
            seed=None if request.seed is None or request.seed < 0 else request.seed % _SEEDS,
            chat_template_kwargs=request.template_settings if isinstance(request, Chat) else None,
            from_cache=request.cache_prompt is not False,
            slot=request.id_slot,
        )

    @property
    def _ends(self) -> Iterable[int]:
        """The tokens that end an answer."""
        tokenizer: Any = self._provider.tokenizer
        return sorted(tokenizer.eos_token_ids)

    def _sampling(self, request: Request) -> SamplingArguments:
        said = {name: getattr(request, name) for name in _SAMPLING}
        said = {name: value for name, value in said.items() if value is not None}
        chosen = {**_SAMPLING, **self._settings.sampling, **said}
        top_k = int(chosen["top_k"])
        return SamplingArguments(
            temperature=chosen["temperature"],
            top_p=max(chosen["top_p"], 1e-6),  # mlx-lm takes 0 for no bound at all
            top_k=top_k if 0 < top_k < self.abilities.vocabulary else 0,
            min_p=chosen["min_p"],
            xtc_probability=0.0,
            xtc_threshold=0.0,
        )


def _as_mlx_says(settings: WorkerSettings, limits: Limits) -> Namespace:
    return Namespace(
        model=settings.model,
        adapter_path=None,
        draft_model=None,
        trust_remote_code=False,
        chat_template="",
        use_default_chat_template=False,
        chat_template_args={},
        pipeline=False,
        kv_bits=settings.kv_bits,
        kv_group_size=_KV_GROUP,
        quantized_kv_start=0,
        decode_concurrency=settings.parallel,
        prompt_concurrency=1,  # the plan has memory to read one chunk at a time
        prefill_step_size=settings.micro_batch,
        prompt_cache_bytes=limits.caches,
    )


def _asked(request: Request, body: dict[str, Any]) -> CompletionRequest:
    """Hand messages and tools on as they came: a template may know fields that we do not."""
    if isinstance(request, Text):
        return CompletionRequest("text", request.one_prompt, [], None, None)  # type: ignore[arg-type]
    assert isinstance(request, Chat)
    messages = [_for_template(message) for message in body["messages"]]
    return CompletionRequest("chat", "", messages, tools_of(request, body), None)


def tools_of(request: Request, body: dict[str, Any]) -> list[Any] | None:
    """Return the tools that the model may call; None where there are none."""
    wanted = isinstance(request, Chat) and request.wants_tools
    return body["tools"] if wanted else None


def _for_template(message: dict[str, Any]) -> dict[str, Any]:
    """Most templates know no `developer`, as llama.cpp's server takes into account too."""
    return {**message, "role": "system"} if message["role"] == "developer" else message


def _logits(request: Request, ends: Iterable[int]) -> LogitsProcessorArguments:
    bias = {int(token): value for token, value in (request.logit_bias or {}).items()}
    if request.ignore_eos:
        bias |= dict.fromkeys(ends, _NEVER)
    repeat = request.repeat_penalty or 1.0
    return LogitsProcessorArguments(
        logit_bias=bias or None,
        repetition_penalty=0.0 if repeat == 1.0 else repeat,  # mlx-lm's word for none
        repetition_context_size=_PENALIZED_TOKENS,
        presence_penalty=request.presence_penalty or 0.0,
        presence_context_size=_PENALIZED_TOKENS,
        frequency_penalty=request.frequency_penalty or 0.0,
        frequency_context_size=_PENALIZED_TOKENS,
    )
