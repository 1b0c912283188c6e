"""Which addresses can be had."""

from __future__ import annotations

import pytest

from localllm.errors import ConfigError, NoSuchAddress
from localllm.gateway.listening import bound


def test_an_address_that_is_not_there_is_tried_again_by_a_service_unlike_a_wrong_setting() -> None:
    with pytest.raises(NoSuchAddress) as raised, bound(0, ("127.0.0.1", "192.0.2.1")):
        pass

    assert "192.0.2.1" in raised.value.what
    assert raised.value.exit_code != ConfigError.exit_code, "with which a service gives up at once"
