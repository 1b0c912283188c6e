"""The agents that speak several of the APIs, each with the settings for one that it does not take by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from try_agents_programs import AGENTS, Agent, OwnSettings

_MODEL = "localllm"
"""Whatever is served."""

_CONTEXT, _OUTPUT = 65_536, 8192
_BY_NAME = {agent.name: agent for agent in AGENTS}


def _other(name: str, api: str, path: str, own: OwnSettings) -> Agent:
    return replace(_BY_NAME[name], name=f"{name}:{api}", path=path, own=own)


def _copilot(**variables: str) -> OwnSettings:
    said = {
        "COPILOT_MODEL": _MODEL,
        "COPILOT_PROVIDER_API_KEY": "local",
        "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": str(_CONTEXT - _OUTPUT),
        "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": str(_OUTPUT),
    }
    return OwnSettings(said | variables)


def _pi(api: str, base: str) -> OwnSettings:
    model = {"id": _MODEL, "reasoning": True, "input": ["text"]}
    model |= {"contextWindow": _CONTEXT, "maxTokens": _OUTPUT}
    provider = {"baseUrl": base, "api": api, "apiKey": "local", "models": [model]}
    return _files(
        {
            ".pi/agent/models.json": {"providers": {"localllm": provider}},
            ".pi/agent/settings.json": {"defaultProvider": "localllm", "defaultModel": _MODEL},
        }
    )


def _qwen(kind: str, base: str, **members: str) -> OwnSettings:
    sizes = {"contextWindowSize": _CONTEXT}
    model = {"id": _MODEL, "name": _MODEL, "envKey": "LOCAL_KEY", "baseUrl": base, **members}
    settings = {
        "env": {"LOCAL_KEY": "local"},
        "modelProviders": {kind: [{**model, "generationConfig": sizes}]},
        "security": {"auth": {"selectedType": kind}},
        "model": {"name": _MODEL},
    }
    return _files({".qwen/settings.json": settings})


def _opencode(package: str) -> OwnSettings:
    model = {"name": _MODEL, "limit": {"context": _CONTEXT, "output": _OUTPUT}}
    provider = {
        "npm": package,
        "options": {"baseURL": "{v1}", "apiKey": "local"},
        "models": {_MODEL: model},
    }
    settings = {"provider": {"local": provider}, "model": f"local/{_MODEL}"}
    return _files({".config/opencode/opencode.json": settings})


def _files(documents: Mapping[str, object]) -> OwnSettings:
    return OwnSettings({}, {path: json.dumps(each) for path, each in documents.items()})


_WIRE, _TYPE = "COPILOT_PROVIDER_WIRE_API", "COPILOT_PROVIDER_TYPE"
_WHERE = "COPILOT_PROVIDER_BASE_URL"
_MESSAGES, _RESPONSES = "/v1/messages", "/v1/responses"
_CODEX = _BY_NAME["codex"]
"""It has another tool for a model that it knows: one that takes text, not JSON."""

OTHERS = (
    replace(_CODEX, name="codex:gpt-5.5", words=(*_CODEX.words, "-m", "gpt-5.5")),
    _other("opencode", "messages", _MESSAGES, _opencode("@ai-sdk/anthropic")),
    _other("opencode", "responses", _RESPONSES, _opencode("@ai-sdk/openai")),
    _other("qwen-code", "messages", _MESSAGES, _qwen("anthropic", "{base}")),
    _other("qwen-code", "responses", _RESPONSES, _qwen("openai", "{v1}", wireApi="responses")),
    _other("copilot", "messages", _MESSAGES, _copilot(**{_WHERE: "{base}", _TYPE: "anthropic"})),
    _other("copilot", "responses", _RESPONSES, _copilot(**{_WHERE: "{v1}", _WIRE: "responses"})),
    _other("pi", "messages", _MESSAGES, _pi("anthropic-messages", "{base}")),
    _other("pi", "responses", _RESPONSES, _pi("openai-responses", "{v1}")),
)
