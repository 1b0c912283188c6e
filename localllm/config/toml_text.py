"""Values as TOML. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


def toml_of(value: object) -> str:
    """Write one value, as it stands behind its key.

    >>> toml_of(("a", "b")), toml_of(True), toml_of(60.0), toml_of(0.85)
    ('["a", "b"]', 'true', '60.0', '0.85')

    Raises:
        ValueError: TOML has nothing for it, as for None.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
        case Mapping():
            pairs = (f"{toml_of(str(name))} = {toml_of(one)}" for name, one in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
        case Sequence():
            return "[" + ", ".join(toml_of(one) for one in value) + "]"
        case _:
            raise ValueError(f"TOML has no {type(value).__name__}")
