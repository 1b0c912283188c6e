"""Why a bench does not begin."""

from __future__ import annotations

from localllm.errors import LocalLLMError


class NotMeasurable(LocalLLMError):
    """What was asked for cannot be measured on what is served: nothing was sent."""

    exit_code = 2
    http_status = 400


class NoSuchRun(LocalLLMError):
    """No saved bench goes by this name."""

    exit_code = 5
    http_status = 404


class NothingMeasured(LocalLLMError):
    """Not one request was answered."""
