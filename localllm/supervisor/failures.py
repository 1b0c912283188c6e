"""What went wrong, as it is kept and shown. Pure."""

from __future__ import annotations

from localllm.errors import LocalLLMError, code_of
from localllm.store.pull_talk import Failure


def failure_of(error: Exception) -> Failure:
    """Say it in what, why and fix; of a bug, which is no user's to mend, where to read more."""
    if isinstance(error, LocalLLMError):
        return Failure(code=error.code, what=error.what, why=error.why, fix=error.fix)
    return Failure(
        code=code_of(LocalLLMError),
        what="The daemon could not do it.",
        why=f"{type(error).__name__}: {error}",
        fix="localllm logs daemon",
    )
