"""The ways to lay a model over devices: what each leaves to the host, and how layers are divided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.events import DeviceId
from localllm.fit.cache import Setting
from localllm.fit.layout import Layout
from localllm.fit.placing import arrange
from localllm.fit.plan import Budget
from localllm.fit.shape import Shape, shape_of
from localllm.fit.tables import tabulate
from localllm.fit.ways import Ground
from tests.unit.fit.a_header import GIB, llama_8b, smollm2
from tests.unit.fit.test_compute import a_shape

SMOL, LLAMA, EXPERTS = shape_of(smollm2()), shape_of(llama_8b()), a_shape("qwen3-30b-a3b")
ASKED = Setting(8192, 4, 512)


def a_host(usable: float = 64 * GIB) -> Budget:
    return Budget(DeviceId("cpu"), "the host", int(usable), None, is_host=True)


def a_ground(shape: Shape, *cards: float, host: float = 64 * GIB) -> Ground:
    """A machine with cards of so many bytes; its buffers bounded, which is quick."""
    devices = [
        Budget(DeviceId(f"cuda:{n}"), f"card {n}", int(usable), None)
        for n, usable in enumerate(cards)
    ]
    return Ground(tabulate(shape, ["cuda"]), a_host(host), tuple(devices), exact=False)


def counts(layout: Layout) -> list[int]:
    """Layers of each device, as llama.cpp counts them."""
    return [share.count for share in layout.arrangement.devices]


def test_without_a_card_there_is_one_way() -> None:
    (only,) = a_ground(SMOL).whole(ASKED)

    assert (only.devices, only.arrangement.host.count) == ((), 31)


def test_each_card_alone_comes_before_all_of_them_in_the_order_of_preference() -> None:
    ways = list(a_ground(LLAMA, 8 * GIB, 8 * GIB).whole(ASKED))

    names = [[device.name for device in way.devices] for way in ways]
    assert names == [["card 0"], ["card 1"], ["card 0", "card 1"]]
    assert all(way.arrangement.whole for way in ways)


def test_more_cards_than_layers_are_not_all_used() -> None:
    tiny = shape_of(replace(smollm2(), layers=1, heads_kv=(3,)))

    ways = list(a_ground(tiny, *[GIB] * 3).whole(ASKED))

    assert [len(way.devices) for way in ways] == [1, 1, 1]


@pytest.mark.parametrize(
    ("cards", "expected"),
    [((4 * GIB, 4 * GIB), (17, 16)), ((6 * GIB, 2 * GIB), (25, 8)), ((2 * GIB, 6 * GIB), (8, 25))],
)
def test_unequal_cards_get_unequal_shares(
    cards: tuple[int, int], expected: tuple[int, int]
) -> None:
    *_, spread = a_ground(LLAMA, *cards).whole(ASKED)

    assert counts(spread) == pytest.approx(list(expected), abs=2)
    assert sum(counts(spread)) == LLAMA.blocks
    assert spread.fits(ASKED.context)


def test_the_output_layer_is_large_and_layers_move_away_from_the_card_that_has_it() -> None:
    """In proportion it is 17 and 16; the second, with 8-bit output, is full by then."""
    whole = [p.need for p in next(a_ground(LLAMA, 64 * GIB).whole(ASKED)).at(ASKED.context)]
    room = 0.56 * whole[0]

    *_, spread = a_ground(LLAMA, room, room).whole(ASKED)

    first, second = counts(spread)
    assert first > second
    assert spread.fits(ASKED.context)


@pytest.mark.parametrize(("card", "host"), [(16, 64), (12, 64), (8, 64), (16, 8), (12, 8)])
def test_experts_go_aside_of_as_few_layers_as_need_be(card: int, host: int) -> None:
    """The host need not be able to take all experts (15.2 GiB), only those that go there."""
    found = a_ground(EXPERTS, card * GIB, host=host * GIB).experts_aside(ASKED)

    assert found is not None
    assert found.fits(ASKED.context)
    aside = found.arrangement.experts_on_host
    assert found.arrangement.host.is_empty
    fewer = replace(
        found,
        arrangement=replace(found.arrangement, experts_on_host=aside - 1),
        weights=found.tables.on_devices(arrange(EXPERTS, [1], experts_on_host=aside - 1), ["cuda"]),
    )
    assert not fewer.fits(ASKED.context)


@pytest.mark.parametrize(("card", "host"), [(1, 64), (8, 4)])
def test_what_card_and_host_cannot_take_between_them_is_no_way(card: int, host: int) -> None:
    assert a_ground(EXPERTS, card * GIB, host=host * GIB).experts_aside(ASKED) is None


def test_experts_go_aside_beside_two_cards_as_well() -> None:
    found = a_ground(EXPERTS, 6 * GIB, 8 * GIB).experts_aside(ASKED)

    assert found is not None
    assert 0 < found.arrangement.experts_on_host < 48
    assert all(count > 0 for count in counts(found))
    assert found.fits(ASKED.context)


@pytest.mark.parametrize("ground", [a_ground(LLAMA, 4 * GIB), a_ground(EXPERTS)])
def test_without_experts_or_without_a_card_none_go_aside(ground: Ground) -> None:
    assert ground.experts_aside(ASKED) is None


@pytest.mark.parametrize(("card", "host"), [(4, 64), (2, 64), (4, 4)])
def test_as_many_layers_as_fit_are_on_the_card(card: int, host: int) -> None:
    """The host need not be able to take the whole model (5.1 GiB), only what is left to it."""
    found = a_ground(LLAMA, card * GIB, host=host * GIB).partly(ASKED)

    assert found is not None
    assert found.fits(ASKED.context)
    (on_card,) = counts(found)
    more = arrange(LLAMA, [1], on_devices=on_card + 1)
    one_more = replace(found, arrangement=more, weights=found.tables.on_devices(more, ["cuda"]))
    assert not one_more.fits_devices(ASKED.context)
    assert found.arrangement.host.layers == range(33 - on_card)


def test_a_card_that_takes_no_layer_or_no_card_leaves_nothing_to_do_partly() -> None:
    assert a_ground(LLAMA, GIB // 8).partly(ASKED) is None
    assert a_ground(LLAMA).partly(ASKED) is None


def test_the_projector_is_on_the_first_device() -> None:
    ground = replace(a_ground(LLAMA, 8 * GIB, 8 * GIB), projector_bytes=GIB)

    *_, spread = ground.whole(ASKED)

    assert [part.memory.projector for part in spread.at(8192)] == [GIB, 0, 0]


@pytest.mark.parametrize(("shape", "way"), [(EXPERTS, "experts_aside"), (LLAMA, "partly")])
def test_a_host_that_lacks_room_for_its_buffers_alone_is_no_way(shape: Shape, way: str) -> None:
    found = getattr(a_ground(shape, 4 * GIB), way)(ASKED)
    need = found.at(ASKED.context)[-1].need

    enough, short = (
        getattr(a_ground(shape, 4 * GIB, host=usable), way)(ASKED) for usable in (need, need - 1)
    )

    assert enough.arrangement == found.arrangement
    assert short is None
