"""Runs in the child: mlx-lm's generating thread, made to keep lengths, and to end what nobody wants.

Of mlx-lm's server this is the part that is used: it batches requests and keeps prompts. Its HTTP is
not: errors, default lengths, stop sequences and keys are ours.
"""

# mypy: disable-error-code="no-untyped-call"
# (mlx-lm leaves out most types)

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, Queue
from threading import Event
from typing import Any, Generic, TypeVar

from jinja2 import TemplateError
from mlx_lm.generate import BatchGenerator
from mlx_lm.server import (
    CompletionRequest,
    GenerationArguments,
    GenerationContext,
    ModelProvider,
    Response,
    ResponseGenerator,
)

from localllm.engines.workers.http import invalid, too_long
from localllm.engines.workers.mlx.prompts import Prompts
from localllm.engines.workers.mlx.slots import Slots

_LOOK_S = 0.2
"""How often it is looked whether the client is still there, while nothing comes."""

_BAD_MESSAGES = (TemplateError, LookupError, TypeError, ValueError)
"""What templates, and those who prepare messages for them, raise at what they cannot take."""

_Result = TypeVar("_Result")

Attend = Callable[[], None]
"""Raises where the client has gone."""


@dataclass
class Arguments(GenerationArguments):
    """What is known of a request before its prompt is: `max_tokens` is cut to what is left."""

    from_cache: bool = True
    slot: int | None = None
    """Where it is noted what the request leaves among the kept prompts; None: nowhere."""

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


class _Errand(Generic[_Result]):
    """Something to be done in the generating thread, between two steps of it."""

    def __init__(self, do: Callable[[Prompts, object], _Result]) -> None:
        self._do = do
        self.done: Future[_Result] = Future()

    def carry_out(self, prompts: Prompts, model: object) -> None:
        """Do it; what goes wrong is its caller's affair, and not the thread's."""
        try:
            self.done.set_result(self._do(prompts, model))
        except Exception as error:  # noqa: BLE001  # raised again where the result is wanted
            self.done.set_exception(error)


class Batches(BatchGenerator):
    """Batches that keep what was read of a request that is broken off: its client may ask again."""

    def __init__(self, *told: Any, keep: Callable[[list[int], Any], None], **more: Any) -> None:  # noqa: ANN401
        super().__init__(*told, **more)
        self._keep = keep

    def remove(self, uids: Sequence[int], return_prompt_caches: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        begun = [uid for uid, (stage, _) in self._find_uids(uids).items() if stage > 0]
        for cache, tokens in self.extract_cache(begun).values():
            if tokens:
                self._keep(tokens[:], cache)
        return super().remove(uids, return_prompt_caches)


class Generator(ResponseGenerator):
    """Loads the model and generates, in a thread of its own.

    Args:
        context: Tokens of one request, prompt and answer together.
        kept_bytes: What prompts may take, those of running requests among them.
    """

    def __init__(
        self, provider: Provider, *, context: int, kept_bytes: int, slots: int = 0
    ) -> None:
        self._context, self._prompts = context, Prompts(kept_bytes, Slots(slots))
        server: Any = importlib.import_module("mlx_lm.server")
        server.BatchGenerator = partial(Batches, keep=self._keep)  # there is no other place for it
        super().__init__(provider, self._prompts)

    def do(self, errand: Callable[[Prompts, object], _Result], attend: Attend) -> _Result:
        """Do something with the kept prompts in the thread that they belong to, and wait for it.

        Raises:
            Exception: What the errand raises.
        """
        asked = _Errand(errand)
        self.requests.put(asked)
        while True:
            attend()
            try:
                return asked.done.result(timeout=_LOOK_S)
            except TimeoutError:
                if not self.is_healthy:
                    raise RuntimeError("the thread that generates has died") from None

    def _next_request(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        asked = super()._next_request(timeout)
        if isinstance(asked, _Errand):
            asked.carry_out(self._prompts, self.model_provider.model_key)
            return None
        return asked

    def _keep(self, tokens: list[int], cache: Any) -> None:  # noqa: ANN401
        self._prompts.insert_cache(self.model_provider.model_key, tokens, cache)

    def _log_cache_stats(self) -> None:
        """Say nothing: it counts what nobody reads."""

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
        images = told[-1]
        self._prompts.slots.begin(args.slot, told[0] if images is None else images.cache_key)
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
