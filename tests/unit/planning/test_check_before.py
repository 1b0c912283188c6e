"""Whether a model is examined before it takes over is its profile's affair."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localllm.api.views import ServeRequest
from localllm.config.settings import Settings
from localllm.user_profiles import UserProfile
from tests.fakes.quick_desk import quick_desk


def test_nobody_is_examined_unless_a_profile_says_so(tmp_path: Path) -> None:
    profiles = {"careful": UserProfile(check="full"), "plain": UserProfile()}
    desk = quick_desk(Settings(profiles=profiles), tmp_path, {})

    asked = (ServeRequest(model="small"), *(ServeRequest(profile=name) for name in profiles))

    assert [desk.check_before(one) for one in asked] == ["off", "full", "off"]


def test_a_word_that_means_nothing_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="sometimes"):
        msgspec.convert({"check": "sometimes"}, UserProfile)
