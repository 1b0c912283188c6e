"""Runs in the child: mlx-lm's generating thread, made to keep lengths, and to end what nobody wants.

Of mlx-lm's server this is the part that is used: it batches requests and keeps prompts. Its HTTP is
not: errors, default lengths, stop sequences and keys are ours.
"""

# mypy: disable-error-code="no-untyped-call"
# (mlx-lm leaves out most types)

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event
from typing import Any

from jinja2 import TemplateError
from mlx_lm.models.cache import LRUPromptCache
from mlx_lm.server import (
    CompletionRequest,
    GenerationArguments,
    GenerationContext,
    ModelProvider,
    Response,
    ResponseGenerator,
)

from localllm.engines.workers.http import invalid, too_long

_LOOK_S = 0.2
"""How often it is looked whether the client is still there, while nothing comes."""

_KEPT_PROMPTS = 256
"""Their bytes are what counts; this bounds the search."""

_BAD_MESSAGES = (TemplateError, LookupError, TypeError, ValueError)
"""What templates, and those who prepare messages for them, raise at what they cannot take."""

Attend = Callable[[], None]
"""Raises where the client has gone."""


@dataclass
class Arguments(GenerationArguments):
    """What is known of a request before its prompt is: `max_tokens` is cut to what is left."""

    from_cache: bool = True
    unwanted: bool = False
    """Set from another thread, when the client has gone."""


class Provider(ModelProvider):
    """Tells when the model is there, or why it never will be."""

    def __init__(self, told: Namespace) -> None:
        self._tried = Event()
        self._failure: BaseException | None = None
        super().__init__(told)

    def load_default(self) -> None:
        try:
            super().load_default()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._tried.set()

    def wait_until_loaded(self) -> None:
        """Wait for the thread that loads.

        Raises:
            SystemExit: It failed.
        """
        self._tried.wait()
        if self._failure is not None:
            raise SystemExit(f"the model cannot be loaded: {self._failure}")


class _Prompts(LRUPromptCache):
    """The prompts that are kept. A request can pass them by, and always has a token to read.

    mlx-lm 0.32 gives a prompt that is kept as a whole an empty rest, and its thread dies of it.
    """

    passed_by = False

    def fetch_nearest_cache(self, model: Any, tokens: list[int]) -> tuple[Any, list[int]]:  # noqa: ANN401
        if self.passed_by:
            return None, tokens
        cache, rest = super().fetch_nearest_cache(model, tokens)
        if rest:
            return cache, rest
        cache, rest = super().fetch_nearest_cache(model, tokens[:-1])
        return cache, [*rest, tokens[-1]]


class Generator(ResponseGenerator):
    """Loads the model and generates, in a thread of its own.

    Args:
        context: Tokens of one request, prompt and answer together.
        kept_bytes: What prompts may take, those of running requests among them.
    """

    def __init__(self, provider: Provider, *, context: int, kept_bytes: int) -> None:
        self._context, self._prompts = context, _Prompts(_KEPT_PROMPTS, kept_bytes)
        super().__init__(provider, self._prompts)

    def _tokenize(self, tokenizer: Any, request: CompletionRequest, args: Arguments) -> Any:  # noqa: ANN401
        """Refuse here what does not fit: what is raised reaches the one who asked."""
        if args.unwanted:
            raise ConnectionAbortedError
        told = self._tokens(tokenizer, request, args)
        prompt_tokens = len(told[0])
        if prompt_tokens == 0:
            raise invalid("prompt: it has no tokens")
        if prompt_tokens >= self._context:
            raise too_long(prompt_tokens, self._context)
        args.max_tokens = min(args.max_tokens, self._context - prompt_tokens)
        self._prompts.passed_by = not args.from_cache
        return told

    def _tokens(self, tokenizer: Any, request: CompletionRequest, args: Arguments) -> Any:  # noqa: ANN401
        prompt: Any = request.prompt
        if isinstance(prompt, list):
            return prompt, [prompt], ["assistant"], "normal", None
        try:
            return super()._tokenize(tokenizer, request, args)
        except _BAD_MESSAGES as error:
            raise invalid(f"messages: the model's template refuses them: {error}") from error


class _Responses(Queue[Any]):
    """What comes for one request; it is ended also if it starts after its client has gone."""

    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self._arguments = arguments

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401, FBT001, FBT002
        super().put(item, block, timeout)
        if self._arguments.unwanted:
            self.abandon()

    def abandon(self) -> None:
        self._arguments.unwanted = True  # first: what is put from here on is ended by `put`
        with suppress(Empty):
            while True:
                told = self.get_nowait()
                if isinstance(told, GenerationContext):
                    told.stop()


class Generation:
    """One answer while it is generated; iterating gives a response for each token.

    Raises:
        Refusal: The prompt is too long, or not what the model's template takes.
    """

    def __init__(
        self, generator: Generator, asked: CompletionRequest, arguments: Arguments, attend: Attend
    ) -> None:
        self._generator, self._attend = generator, attend
        self._responses = _Responses(arguments)
        generator.requests.put((self._responses, asked, arguments))
        try:
            self.context: GenerationContext = self._next()
        except BaseException:
            self._responses.abandon()
            raise

    def __iter__(self) -> Iterator[Response]:
        while (told := self._next()) is not None:
            if isinstance(told, Response):  # else it is how far the prompt was read
                yield told

    def stop(self) -> None:
        """End it; mlx-lm notices before it reads on, or generates another token."""
        self.context.stop()

    def _next(self) -> Any:  # noqa: ANN401
        told = self._wait()
        if isinstance(told, Exception):
            raise told
        return told

    def _wait(self) -> Any:  # noqa: ANN401
        while True:
            self._attend()
            try:
                return self._responses.get(timeout=_LOOK_S)
            except Empty:
                if not self._generator.is_healthy:
                    raise RuntimeError("the thread that generates has died") from None
