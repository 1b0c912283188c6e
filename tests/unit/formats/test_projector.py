"""Projectors are told from models, and tell what they can."""

from __future__ import annotations

import pytest

from localllm.formats.errors import BadModelFile
from localllm.formats.projector import Projector, parse_projector
from tests.unit.formats.a_gguf import PLAIN, Line, a_file, a_header

VISION = {
    "general.architecture": "clip",
    "general.type": "mmproj",
    "general.name": "Eye",
    "clip.projector_type": "gemma3",
    "clip.has_vision_encoder": True,
    "clip.vision.image_size": 896,
    "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 1152,
    "clip.vision.block_count": 27,
    "clip.vision.projection_dim": 2560,
}
LINES = (Line("v.patch_embd.weight", (64, 3)), Line("mm.a", (64, 1), 0, 768))


def of(keys: dict[str, object]) -> Projector:
    data = a_file(a_header(keys, LINES), LINES)
    return parse_projector(data, file_bytes=len(data))


def test_a_projector_tells_its_sizes() -> None:
    found = of(VISION)

    assert (found.name, found.type) == ("Eye", "gemma3")
    assert (found.has_vision, found.has_audio) == (True, False)
    assert (found.image_size, found.patch_size, found.embedding) == (896, 14, 1152)
    assert (found.layers, found.projection) == (27, 2560)
    assert found.weights_bytes == 1024
    assert found.file_bytes > 1024


def test_one_that_only_hears_tells_its_audio_sizes() -> None:
    found = of(
        {
            "general.architecture": "clip",
            "clip.has_audio_encoder": True,
            "clip.audio.projector_type": "ultravox",
            "clip.audio.block_count": 32,
            "clip.audio.embedding_length": 1280,
        }
    )

    assert (found.has_vision, found.has_audio, found.type) == (False, True, "ultravox")
    assert (found.layers, found.embedding) == (32, 1280)
    assert (found.image_size, found.patch_size, found.projection) == (None, None, None)


def test_a_projector_is_known_by_its_type_too() -> None:
    assert of({**VISION, "general.architecture": "other"}).layers == 27


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (dict(PLAIN), "architecture is llama"),
        ({"x": 1}, "not named"),
        ({**VISION, "clip.vision.image_size": -1.0}, "whole number"),
        ({**VISION, "clip.vision.eps": float("nan")}, "is nan"),
    ],
)
def test_what_is_no_projector_is_refused(keys: dict[str, object], says: str) -> None:
    with pytest.raises(BadModelFile, match=says):
        of(keys)
