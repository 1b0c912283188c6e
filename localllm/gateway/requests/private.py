"""Fields that belong to the engine, not to those who ask it. Each has a reason. Pure.

An allow-list would break the promise that an unknown field is passed on, so this is the list of
what llama.cpp, vLLM and SGLang read of a request and no client should say: places in memory, code,
addresses, other requests' places. All else that they know is in fields.py with its bound.

Source: tools/server in llama.cpp; protocol.py of vLLM and of SGLang; or the row's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localllm.gateway.requests.document import wrong

_SLOTS = "the gateway chooses the place where a request is worked on"
_TEMPLATE = "it is the model's chat template that says this"
_GRAMMAR = "the engine makes it itself of the tools or the schema"
_CODE = "it makes the engine run code, or load what may hold code"
_HOSTS = "it makes the engine connect to other servers"
_TURN = "the order of requests is the gateway's affair"

PRIVATE: Mapping[str, str] = {
    "n_discard": "llama.cpp wrote outside its memory for one below 0 (CVE-2026-21869)",
    "n_cache_reuse": "how the cache is kept is the gateway's affair",
    "backend_sampling": "where tokens are chosen is the engine's affair",
    "id_slot": _SLOTS,
    "slot_id": _SLOTS,
    "chat_format": _TEMPLATE,
    "chat_parser": _TEMPLATE,
    "chat_template": "a template is a program, and runs in the engine (CVE-2024-34359)",
    "generation_prompt": _TEMPLATE,
    "message_delimiters": _TEMPLATE,
    "preserved_tokens": _TEMPLATE,
    "reasoning_budget_start_tag": _TEMPLATE,
    "reasoning_budget_end_tag": _TEMPLATE,
    "grammar_type": _GRAMMAR,
    "grammar_lazy": _GRAMMAR,
    "grammar_triggers": _GRAMMAR,
    "speculative.type": "how tokens are drafted is the engine's affair",
    "speculative.ngram_size_n": "the engine takes memory for it without a bound",
    "speculative.ngram_size_m": "the engine takes memory for it without a bound",
    "logits_processors": _CODE,  # vllm-project/vllm#11150
    "custom_logit_processor": _CODE,  # sgl-project/sglang#27315: it is unpickled
    "prompt_embeds": _CODE,
    "input_embeds": _CODE,
    "mm_processor_kwargs": _CODE,
    "media_io_kwargs": _CODE,
    "lora_path": "which adapters there are is said in the profile",
    "kv_transfer_params": _HOSTS,
    "bootstrap_host": _HOSTS,
    "bootstrap_port": _HOSTS,
    "bootstrap_room": _HOSTS,
    "priority": _TURN,
    "session_params": _SLOTS,
}

_INTERNAL = "__"
"""How llama.cpp's server marks what it tells itself, in the same object as the client's fields."""

PRIVATE_TO_TEMPLATES = frozenset(
    {"chat_template", "conversation", "messages", "tokenize", "tools", "return_dict"}
)
"""In `chat_template_kwargs`, over what the engine itself says to the template.

Source: CVE-2025-62426, where `tokenize` held up vLLM's server.
"""


def check_private(document: Mapping[str, Any]) -> None:
    """Refuse a request that says what is the engine's own affair.

    Raises:
        BadRequest: It does; the field is named.
    """
    for name, value in document.items():
        why = PRIVATE.get(name)
        if name.startswith(_INTERNAL):
            why = "names that begin so are the engine's own"
        if why is not None and value is not None:
            raise wrong(name[:64], why, "leave it out")


def check_template_settings(settings: Mapping[str, Any] | None) -> None:
    """Refuse settings that stand in for what the engine tells a template."""
    for name in PRIVATE_TO_TEMPLATES.intersection(settings or ()):
        raise wrong(f"chat_template_kwargs.{name}", _TEMPLATE, "leave it out")
