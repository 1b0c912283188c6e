"""Why there is no plan at all, not even one that does not fit."""

from __future__ import annotations

from localllm.errors import LocalLLMError


class UnsupportedArchitecture(LocalLLMError):
    """The model keeps state that this version's formulas do not cover."""

    exit_code = 3
    http_status = 422
