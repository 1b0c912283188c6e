"""What can be wrong with a model file."""

from __future__ import annotations

from localllm.errors import LocalLLMError


class BadModelFile(LocalLLMError):
    """The file is damaged, hostile, or of a kind that cannot be served."""

    http_status = 422


class HeaderIncomplete(LocalLLMError):
    """The bytes at hand end before the header does; the file itself may be sound.

    Args:
        needed_bytes: How many bytes from the start it takes at least to go on.
    """

    http_status = 422

    def __init__(self, what: str, *, why: str, fix: str, needed_bytes: int) -> None:
        super().__init__(what, why=why, fix=fix)
        self.needed_bytes = needed_bytes
