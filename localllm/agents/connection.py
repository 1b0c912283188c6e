"""What is served, as far as an agent's settings depend on it, and the words that stand for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from localllm.agents.edits import Value

PROVIDER = "localllm"
"""What our entry is called in an agent's settings."""

KEY_VARIABLE = "LOCALLLM_API_KEY"
DUMMY_KEY = "local"
"""For an endpoint that asks for none, since agents will not go without."""

USELESS_BELOW_TOKENS = 32_768
"""An agent's instructions and tools alone are 2k to 20k tokens. Source: captures of the agents."""

COMFORTABLE_TOKENS = 65_536
USEFUL_SLOTS = 2
"""An agent asks for a title and for its answer at the same time."""

_OUTPUT_SHARE = 4
_MAX_OUTPUT_TOKENS = 32_768


@dataclass(frozen=True, slots=True)
class Connection:
    """One served model and the endpoint that serves it."""

    base: str
    """The endpoint's URL without a path."""

    model: str
    """What clients send as `model`."""

    context: int
    """Tokens that a prompt and its answer may have together."""

    parallel: int
    """Requests that it answers at once."""

    trained: int | None = None
    """Tokens of context that the model was trained for."""

    writes: bool = True
    """Whether it writes text at all: one that makes embeddings does not."""

    tools: bool | None = None
    """Whether anything says that it calls tools; None is unknown, as are the others."""

    reasoning: bool | None = None
    images: bool | None = None
    needs_key: bool = False
    """Whether the endpoint asks for an API key."""

    @property
    def v1(self) -> str:
        return f"{self.base}/v1"

    @property
    def output(self) -> int:
        """Tokens of the context to set aside for one answer."""
        return min(max(self.context // _OUTPUT_SHARE, 1), _MAX_OUTPUT_TOKENS)

    def words(self, key: str) -> dict[str, Value]:
        """What profiles may name in braces; a None leaves the setting out.

        Args:
            key: How the agent is told the key, where there is one.
        """
        return {
            "base": self.base,
            "v1": self.v1,
            "model": self.model,
            "context": self.context,
            "context_text": str(self.context),
            "output": self.output,
            "output_text": str(self.output),
            "input": self.context - self.output,
            **self._words_for_keys(key),
            **self._words_for_abilities(),
            "slot_sh": shlex.quote(f"{PROVIDER}/{self.model}"),
        }

    def _words_for_keys(self, key: str) -> dict[str, Value]:
        return {
            "key": key if self.needs_key else DUMMY_KEY,
            "dummy_key": None if self.needs_key else DUMMY_KEY,
            "key_variable": KEY_VARIABLE if self.needs_key else None,
            "key_command": f"printenv {KEY_VARIABLE}" if self.needs_key else None,
            "key_name": PROVIDER if self.needs_key else None,
        }

    def _words_for_abilities(self) -> dict[str, Value]:
        """Tools are always on: an agent is of no use without, and some hide a model that has none."""
        images, reasoning = self.images is True, self.reasoning is True
        inputs: list[Value] = ["text", "image"] if images else ["text"]
        capabilities: list[Value] = ["tool_use", "image_input"] if images else ["tool_use"]
        return {
            "tools": True,
            "images": images,
            "reasoning": reasoning,
            "inputs": inputs,
            "capabilities": capabilities,
            "images_sh": str(images).lower(),
            "reasoning_sh": str(reasoning).lower(),
        }


def warnings_of(connection: Connection) -> tuple[str, ...]:
    """Say what will make an agent fail, or slow, with what is served."""
    model, context = connection.model, connection.context
    if not connection.writes:
        return (
            f"{model} WRITES NO TEXT, it makes embeddings or ranks: no agent can talk with it; "
            "name another one with --model, or serve one: localllm up",
        )
    said = []
    if context < USELESS_BELOW_TOKENS:
        said.append(
            f"TOO SMALL FOR AN AGENT: {model} is served with {context:,} tokens of context, and "
            f"agents need {USELESS_BELOW_TOKENS:,}, better {COMFORTABLE_TOKENS:,}. Their "
            "instructions and tools alone take up to 20,000, so requests will be refused as too "
            f"long: {_more_context(connection)}"
        )
    elif context < COMFORTABLE_TOKENS:
        said.append(
            f"{model} has {context:,} tokens of context; {COMFORTABLE_TOKENS:,} is comfortable for "
            f"an agent: {_more_context(connection)}"
        )
    if connection.tools is False:
        said.append(f"nothing says that {model} can call tools: an agent may only chat with it")
    if connection.parallel < USEFUL_SLOTS:
        said.append(
            "it answers one request at a time, and agents send two at once: "
            f"localllm up {model} --parallel {USEFUL_SLOTS}"
        )
    return tuple(said)


def _more_context(connection: Connection) -> str:
    """What gets an agent the context that it needs."""
    trained = connection.trained
    if trained is not None and trained < COMFORTABLE_TOKENS:
        more = f"the model was trained for {trained:,}, so take another one"
        return f"{more}: localllm plan --use code --context {COMFORTABLE_TOKENS}"
    return (
        f"localllm up {connection.model} --context {COMFORTABLE_TOKENS}, or a smaller model "
        "if there is no memory for that"
    )
