"""Who fetches which piece: nothing twice, nothing left out, whoever fails, falls behind or takes over."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.transfer import board as boards
from localllm.transfer.board import LEAST_BYTES, PIECE_BYTES, Board, Piece
from localllm.transfer.ranges import Ranges

MIB = 1 << 20


def a_board(size: int, *here: tuple[int, int], connections: int = 4) -> tuple[Board, Ranges]:
    ranges = Ranges()
    for start, end in here:
        ranges.add(start, end)
    return Board(size, ranges, connections), ranges


def claimed(board: Board, now: float = 0.0) -> Piece:
    piece = board.claim(now)
    assert piece is not None
    return piece


def brought(here: Ranges, piece: Piece, count: int) -> None:
    here.add(piece.at, piece.at + count)
    piece.at += count


def test_pieces_are_handed_out_from_the_beginning() -> None:
    board, _ = a_board(1 << 30)

    first, second = claimed(board), claimed(board)

    assert (first.at, first.end) == (0, PIECE_BYTES)
    assert (second.at, second.end) == (PIECE_BYTES, 2 * PIECE_BYTES)


def test_one_connection_gets_all_that_is_lacking_at_once() -> None:
    board, _ = a_board(1 << 30, (0, MIB), connections=1)

    piece = claimed(board)

    assert (piece.at, piece.end) == (MIB, 1 << 30)


def test_what_is_here_is_not_handed_out() -> None:
    board, _ = a_board(3 * MIB, (0, MIB), (2 * MIB, 3 * MIB))

    pieces = list(iter(lambda: board.claim(0.0), None))

    assert sum(piece.lacking for piece in pieces) == MIB
    assert all(MIB <= piece.at < piece.end <= 2 * MIB for piece in pieces)


def test_a_rest_that_is_not_worth_a_request_goes_with_the_piece_before_it() -> None:
    board, _ = a_board(LEAST_BYTES + 100, connections=6)

    assert claimed(board).lacking == LEAST_BYTES + 100


def test_nothing_far_beyond_the_hash_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "AHEAD_BYTES", 2 * PIECE_BYTES)
    board, here = a_board(1 << 30)
    first, second = claimed(board), claimed(board)
    brought(here, second, second.lacking)
    board.give_back(second, 1.0)

    assert board.claim(1.0) is None
    brought(here, first, first.lacking)
    board.give_back(first, 2.0)
    assert claimed(board, 2.0).at == 2 * PIECE_BYTES


def test_half_of_a_piece_with_long_to_go_is_shared() -> None:
    board, here = a_board(8 * MIB, connections=1)
    only = claimed(board)
    brought(here, only, 2 * MIB)

    other = claimed(board, now=5.0)

    assert (only.at, only.end) == (2 * MIB, 5 * MIB)
    assert (other.at, other.end) == (5 * MIB, 8 * MIB)


@pytest.mark.parametrize(("came", "now"), [(2 * MIB, 2.0), (7 * MIB, 5.0)])
def test_a_piece_that_is_young_or_nearly_done_is_not_shared(came: int, now: float) -> None:
    board, here = a_board(8 * MIB, connections=1)
    brought(here, claimed(board), came)

    assert board.claim(now) is None


def test_a_piece_that_is_much_slower_than_the_others_is_taken_over_whole() -> None:
    board, here = a_board(4 * MIB, connections=2)
    slow = claimed(board)
    quick = claimed(board)
    while (more := board.claim(0.0)) is not None:
        brought(here, more, more.lacking)
        board.give_back(more, 0.0)
    brought(here, slow, 1000)
    brought(here, quick, quick.lacking - 1000)

    heir = claimed(board, now=4.0)

    assert slow.lacking == 0
    assert heir.at == slow.at
    assert heir.taken == 1


def test_one_that_was_taken_over_gets_longer_before_it_is_again() -> None:
    board, here = a_board(MIB, connections=1)
    first = claimed(board)
    board._usual_speed = 1e9
    heir = claimed(board, now=4.0)
    board.give_back(first, 4.0)
    brought(here, heir, 10)

    assert board.claim(4.0 + 5.0) is None
    assert claimed(board, 4.0 + 7.0).taken == 2


def test_what_a_server_without_parts_sends_is_not_shared() -> None:
    board, _ = a_board(1 << 30)
    piece = claimed(board)

    board.whole(piece)

    assert piece.end == 1 << 30
    assert board.claim(1000.0) is None


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 64 * MIB), st.integers(1, 6))
def test_whatever_happens_all_bytes_come_and_none_is_fetched_by_two(
    seed: int, size: int, connections: int
) -> None:
    """Connections begin, bring something, fail, and take over, in any order; then all of them work."""
    dice = random.Random(seed)
    board, here = a_board(size, connections=connections)
    running: list[Piece] = []
    now, fetched, steps = 0.0, 0, 0
    while not board.is_done:
        steps += 1
        assert steps < 5_000, "it does not end"
        now += dice.choice((0.0, 0.1, 1.0, 10.0))
        if len(running) < connections and (piece := board.claim(now)) is not None:
            running.append(piece)
        spans = sorted((p.at, p.end) for p in running if p.lacking > 0)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        for piece in dice.sample(running, len(running)):
            calm = steps > 200
            count = piece.lacking if calm else dice.randint(0, max(0, piece.lacking))
            fetched += max(0, count)
            brought(here, piece, max(0, count))
            if piece.lacking <= 0 or (not calm and dice.random() < 0.2):
                running.remove(piece)
                board.give_back(piece, now)
    assert fetched == here.total == size
