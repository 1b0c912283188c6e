"""llama.cpp's allocator, move by move."""

from __future__ import annotations

from localllm.fit.allocator import Block, Pool


def test_blocks_follow_one_another_on_aligned_places() -> None:
    pool = Pool(32)

    assert [pool.take(1), pool.take(33), pool.take(32)] == [
        Block(0, 32),
        Block(32, 64),
        Block(96, 32),
    ]
    assert pool.peak == 128


def test_the_tightest_hole_is_taken_and_its_rest_stays_a_hole() -> None:
    pool = Pool(1)
    wide, _, tight, _ = (pool.take(size) for size in (50, 1, 20, 1))
    pool.give(wide)
    pool.give(tight)

    assert (pool.take(15).at, pool.take(5).at, pool.take(6).at) == (51, 66, 0)


def test_of_two_equal_holes_the_later_is_taken() -> None:
    pool = Pool(1)
    first, _, second, _ = (pool.take(10) for _ in range(4))
    pool.give(first)
    pool.give(second)

    assert pool.take(10) == second


def test_neighbouring_holes_become_one() -> None:
    pool = Pool(1)
    blocks = [pool.take(10) for _ in range(4)]
    for block in (blocks[0], blocks[2], blocks[1]):
        pool.give(block)

    assert pool.take(30).at == 0
    assert pool.peak == 40


def test_what_is_freed_at_the_end_does_not_count_again() -> None:
    pool = Pool(1)
    kept, end = pool.take(10), pool.take(10)
    pool.give(end)

    assert pool.take(15).at == kept.size
    assert pool.peak == 25


def test_a_block_can_give_back_its_end() -> None:
    pool = Pool(32)
    block, _ = pool.take(100), pool.take(1)

    kept = pool.shrink(block, 33)

    assert kept == Block(0, 64)
    assert pool.take(64) == Block(64, 64)
    assert pool.shrink(kept, 64) == kept
