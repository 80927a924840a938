"""The instructions that lose frames."""

import pytest

from stentor.lab.xdp_pass import program


def test_without_loss_everything_passes() -> None:
    assert program() == bytes.fromhex("b700000002000000 9500000000000000")


@pytest.mark.parametrize(("percent", "threshold"), [(1, 42949673), (50, 1 << 31)])
def test_the_random_number_is_compared_with_the_share(percent: float, threshold: int) -> None:
    text = program(percent)

    assert text[8:16] == bytes([0xA6, 0, 2, 0]) + threshold.to_bytes(4, "little")


def test_all_is_lost_but_one_frame_in_four_billion() -> None:
    assert program(100)[12:16] == b"\xff\xff\xff\xff"
