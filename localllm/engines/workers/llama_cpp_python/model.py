"""Runs in the child: one model in `llama_cpp.Llama`, from a request to tokens and their text.

It holds one sequence, whose beginning the next request may share; callers take turns.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
from collections.abc import Callable, Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from localllm.engines.workers.http import Refusal, invalid
from localllm.engines.workers.llama_cpp_python.loading import load, print_log
from localllm.engines.workers.llama_cpp_python.request import Chat, Request, Text
from localllm.engines.workers.llama_cpp_python.scoring import score
from localllm.engines.workers.llama_cpp_python.slot import Slot
from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings, binding
from localllm.engines.workers.scores import score_request

Gone = Callable[[], bool]
"""Tells whether the client has gone."""

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What llama.cpp's server takes where a file brings no template."""

_BAD_TEMPLATE = (ValueError, TypeError, LookupError, AttributeError)
"""What a template raises at messages that it does not like, beside jinja's own errors."""

_BAD_SCHEMA = (AssertionError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""What the binding's converter raises at schemas that it cannot convert."""

_SEEDS = 1 << 32
_PIECE_BYTES = 32
"""Enough for most tokens."""


class Model:
    """Loaded when it is made; all but `prompt_of` and what cuts and joins texts needs a turn."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._lib = binding()
        self._log = print_log(self._lib)
        self._llm = load(settings, self._lib)
        self._vocabulary = self._lib.llama_model_get_vocab(self._llm.model)
        self._template = self._formatter()
        self._sampling = settings.sampling
        folder = None if settings.prefix_folder is None else Path(settings.prefix_folder)
        self.slot = Slot(self._lib, self._llm, folder)
        self.context = min(settings.context, int(self._llm.n_ctx()))  # it may round up
        self.fingerprint = f"llama-cpp-python-{self._lib.__version__}"

    def prompt_of(self, request: Request) -> list[int]:
        """Turn a request into tokens.

        Raises:
            Refusal: The model's template does not take these messages, or there are no such tokens.
        """
        if isinstance(request, Chat):
            return self.tokens_of(self._templated(request), add_special=True)
        assert isinstance(request, Text), "there are two kinds"
        prompt = request.one_prompt
        if isinstance(prompt, str):
            return self._tokenized(prompt, add_begin=True)
        end = self.vocabulary
        if not all(0 <= token < end for token in prompt):
            raise invalid(f"prompt: the numbers of tokens end below {end}")
        return prompt

    def prompt_text(self, chat: Chat) -> str:
        """Turn a chat into one text.

        Raises:
            Refusal: The model's template does not take these messages.
        """
        return self._templated(chat)

    @property
    def vocabulary(self) -> int:
        return int(self._llm.n_vocab())

    def tokens_of(self, text: str, *, add_special: bool) -> list[int]:
        """Cut a text into tokens."""
        begins = bool(self._begin) and text.startswith(self._begin)
        return self._tokenized(text, add_begin=add_special and not begins)

    def text_of(self, tokens: list[int]) -> str:
        """Join tokens, those of markup too."""
        pieces = (self.bytes_of(token, markup=True) for token in tokens)
        return b"".join(pieces).decode(errors="replace")

    def grammar_of(self, request: Request) -> Any:  # noqa: ANN401
        """Make the grammar that an answer is held to; None: it is free.

        Raises:
            Refusal: There is no grammar for such a schema, or it is none.
        """
        text = request.grammar or None
        if request.schema is not None:
            try:
                text = self._lib.llama_grammar.json_schema_to_gbnf(json.dumps(request.schema))
            except _BAD_SCHEMA as error:
                raise invalid(f"response_format: this schema cannot be kept: {error}") from error
        return None if text is None else self._checked(text)

    def read(self, prompt: list[int], *, cached: bool, gone: Gone) -> int:
        """Read all of a prompt but its last token; return how many were known already.

        Raises:
            ConnectionAbortedError: The client has gone; what was read stays known.
        """
        known = self._known(prompt) if cached else 0
        self._llm.n_tokens = known  # the next batch forgets what follows
        step = self._llm.n_batch
        with self._abandoned_if(gone):
            for start in range(known, len(prompt) - 1, step):
                self._llm.eval(prompt[start : min(start + step, len(prompt) - 1)])
        return known

    def tokens(
        self,
        prompt: list[int],
        request: Request,
        grammar: Any,  # noqa: ANN401
    ) -> Generator[int]:
        """Generate without an end; the first token needs the prompt's last one read."""
        asked = {
            name: getattr(request, name) for name in ("temperature", "top_p", "top_k", "min_p")
        }
        sampling = {**self._sampling, **{k: v for k, v in asked.items() if v is not None}}
        if "temperature" in sampling:
            sampling["temp"] = sampling.pop("temperature")
        random = self._lib.LLAMA_DEFAULT_SEED
        self._llm.set_seed(random if request.seed is None else request.seed % _SEEDS)
        tokens: Generator[int] = self._llm.generate(
            prompt,
            grammar=grammar,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            repeat_penalty=request.repeat_penalty or 1.0,
            logits_processor=[self._without_ends] if request.ignore_eos else None,
            **sampling,
        )
        return tokens

    def scores(self, body: dict[str, Any], gone: Gone) -> list[object]:
        """Say how likely given tokens are.

        Raises:
            Refusal: The request is wrong, or too long.
            ConnectionAbortedError: The client has gone.
        """
        asked = score_request(body, vocabulary=self.vocabulary, context=self.context)
        return score(self._llm, self._lib, asked, gone)

    def _without_ends(self, _tokens: Any, scores: Any) -> Any:  # noqa: ANN401  # numpy's
        scores[self._ends] = -math.inf
        return scores

    @cached_property
    def _ends(self) -> list[int]:
        return [token for token in range(self.vocabulary) if self.ends(token)]

    def ends(self, token: int) -> bool:
        """Tell whether a token ends an answer."""
        return bool(self._lib.llama_vocab_is_eog(self._vocabulary, token))

    def bytes_of(self, token: int, *, markup: bool = False) -> bytes:
        """The text of a token, none for markup unless it is wanted.

        The binding's own loses tokens that are longer than 32 bytes, as those of indented code.
        """
        size = _PIECE_BYTES
        while True:
            text = ctypes.create_string_buffer(size)
            said = self._lib.llama_token_to_piece(self._vocabulary, token, text, size, 0, markup)
            if said >= 0:
                return text.raw[:said]
            size = -said

    def _known(self, prompt: list[int]) -> int:
        """How many tokens of the prompt's beginning need not be read again.

        Where the cache only remembers a window, or a state, it cannot be cut back to any place.
        Source: llama.cpp, tools/server, pos_min_thold.
        """
        held = self._llm.input_ids[: self._llm.n_tokens].tolist()
        most = min(len(held), len(prompt) - 1)
        same = next((i for i in range(most) if held[i] != prompt[i]), most)
        if same == len(held):
            return same
        memory = self._lib.llama_get_memory(self._llm.ctx)
        earliest = self._lib.llama_memory_seq_pos_min(memory, 0)
        return same if earliest <= max(0, same - self._looks_back) else 0

    @property
    def _looks_back(self) -> int:
        """How many tokens before a new one have to be held: a window less the new one, or a state's last."""
        window = int(self._lib.llama_model_n_swa(self._llm.model))  # 0: it has none
        return max(1, window - 1)

    @contextlib.contextmanager
    def _abandoned_if(self, gone: Gone) -> Iterator[None]:
        """Stop in the middle of a batch; not all devices can, they end the batch first."""
        look = self._lib.ggml_abort_callback(lambda _: gone())
        self._lib.llama_set_abort_callback(self._llm.ctx, look, None)
        try:
            yield
            if gone():
                raise ConnectionAbortedError
        except RuntimeError as error:
            if self._has_state:
                self._llm.reset()  # half a batch may be in it
            if gone():
                raise ConnectionAbortedError from error
            raise
        finally:
            never = self._lib.ggml_abort_callback()
            self._lib.llama_set_abort_callback(self._llm.ctx, never, None)

    @property
    def _has_state(self) -> bool:
        model = self._llm.model
        return bool(
            self._lib.llama_model_is_recurrent(model) or self._lib.llama_model_is_hybrid(model)
        )

    def _formatter(self) -> Any:  # noqa: ANN401
        """The file's own template, though the binding knows some by heart, not always as it is."""
        return self._lib.llama_chat_format.Jinja2ChatFormatter(
            template=self._llm.metadata.get("tokenizer.chat_template", _CHATML),
            eos_token=self._text_of(self._llm.token_eos()),
            bos_token=self._begin,
        )

    @property
    def _begin(self) -> str:
        return self._text_of(self._llm.token_bos())

    def _text_of(self, token: int) -> str:
        if token < 0:
            return ""
        text: bytes = self._lib.llama_vocab_get_text(self._vocabulary, token)
        return text.decode(errors="replace")

    def _templated(self, chat: Chat) -> str:
        jinja2 = self._lib.llama_chat_format.jinja2
        try:
            told = self._template(messages=chat.conversation, **chat.template_settings)
        except (jinja2.TemplateError, *_BAD_TEMPLATE) as error:
            raise invalid(f"messages: the model's chat template refuses them: {error}") from error
        return str(told.prompt)

    def _tokenized(self, text: str, *, add_begin: bool) -> list[int]:
        said = text.encode(errors="replace")
        tokens: list[int] = self._llm.tokenize(said, add_bos=add_begin, special=True)
        return tokens

    def _checked(self, text: str) -> Any:  # noqa: ANN401
        """Parse a grammar beforehand: the binding would go on with none, and crash."""
        with _silenced():
            parsed = self._lib.llama_sampler_init_grammar(self._vocabulary, text.encode(), b"root")
        if not parsed:
            raise _bad_grammar()
        self._lib.llama_sampler_free(parsed)
        return self._lib.LlamaGrammar.from_string(text, verbose=False)


def _bad_grammar() -> Refusal:
    return invalid("grammar: llama.cpp cannot read it, or the schema's is too large")


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep a client's words out of the log: llama.cpp prints grammars that it cannot read."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
