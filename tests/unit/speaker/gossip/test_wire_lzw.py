"""LZW, both ways. That it is Go's to the byte is shown by the captured vectors."""

from contextlib import suppress
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip import lzw
from speaker.gossip.errors import DecodeError, Reason

LIMIT_BYTES = 1 << 20
payloads = st.one_of(
    st.binary(max_size=2000),
    st.builds(
        lambda part, times: part * times, st.binary(min_size=1, max_size=9), st.integers(0, 900)
    ),
)


def pack(*codes: tuple[int, int]) -> bytes:
    """Codes of stated widths as bits."""
    bits = filled = 0
    for code, width in codes:
        bits |= code << filled
        filled += width
    return bits.to_bytes((filled + 7) // 8, "little")


@given(payloads)
def test_what_is_compressed_comes_back(plain: bytes) -> None:
    assert plain == lzw.decompress(lzw.compress(plain), LIMIT_BYTES)


def distinct_pairs(size: int) -> bytes:
    """Bytes of which no two neighbours come twice: each byte is a code and makes an entry."""
    steps = (2 * (i // 256) + 1 for i in range(size - 1))
    return bytes(total & 0xFF for total in accumulate(steps, initial=0))


@pytest.mark.parametrize("size", range(3836, 3842))
def test_the_table_is_cleared_where_entry_4095_would_be_next(size: int) -> None:
    """Before the end code, too, when the last byte fills the table."""
    plain = distinct_pairs(size)
    literals = [(byte, min(12, (257 + i % 3838).bit_length())) for i, byte in enumerate(plain)]
    end_width = 9 if size >= 3838 else 12

    packed = lzw.compress(plain)

    before, after = literals[:3838], literals[3838:]
    clear = [(256, 12)] if size >= 3838 else []
    assert pack((256, 9), *before, *clear, *after, (257, end_width)) == packed
    assert plain == lzw.decompress(packed, size)


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        pytest.param(pack((256, 9), (97, 9), (257, 9)), b"a", id="as_written"),
        pytest.param(pack((97, 9), (257, 9)), b"a", id="without_the_clear_code"),
        pytest.param(pack((97, 9), (257, 9)) + b"rest", b"a", id="with_bytes_after_the_end"),
        pytest.param(pack((97, 9), (258, 9), (257, 9)), b"aaa", id="an_entry_used_as_it_begins"),
        pytest.param(pack((97, 9), (256, 9), (98, 9), (257, 9)), b"ab", id="cleared_in_between"),
    ],
)
def test_a_stream_of_codes_is_read(packed: bytes, plain: bytes) -> None:
    assert plain == lzw.decompress(packed, LIMIT_BYTES)


def test_a_full_table_without_a_clear_is_kept() -> None:
    """Go's encoder clears before; others need not."""
    widths = [max(9, min(12, (257 + i).bit_length())) for i in range(5000)]
    packed = pack(*((i & 0xFF, width) for i, width in enumerate(widths)), (257, 12))

    assert bytes(i & 0xFF for i in range(5000)) == lzw.decompress(packed, LIMIT_BYTES)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        pytest.param(b"", Reason.TRUNCATED, id="nothing"),
        pytest.param(pack((256, 9), (97, 9)), Reason.TRUNCATED, id="no_end"),
        pytest.param(pack((256, 9), (258, 9)), Reason.BAD_COMPRESSION, id="entry_of_nothing"),
        pytest.param(pack((97, 9), (259, 9)), Reason.BAD_COMPRESSION, id="entry_to_come"),
    ],
)
def test_broken_codes_are_refused(packed: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as refusal:
        lzw.decompress(packed, LIMIT_BYTES)

    assert reason is refusal.value.reason


def test_a_bomb_stops_at_the_limit() -> None:
    bomb = lzw.compress(bytes(LIMIT_BYTES))

    assert len(bomb) < 3000
    assert len(lzw.decompress(bomb, LIMIT_BYTES)) == LIMIT_BYTES
    with pytest.raises(DecodeError, match=f"too_large: .* more than {LIMIT_BYTES - 1} bytes"):
        lzw.decompress(bomb, LIMIT_BYTES - 1)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_only_decode_error_is_raised(packed: bytes) -> None:
    with suppress(DecodeError):
        assert len(lzw.decompress(packed, 1000)) <= 1000
