"""Reason codes: one vocabulary, three spellings."""

import pytest

from speaker.reasons import Reason, as_metallb_l2


@pytest.mark.parametrize(
    ("reason", "condition"),
    [(Reason.NOT_OWNER, "NotOwner"), (Reason.HELD_ELSEWHERE, "HeldElsewhere")],
)
def test_a_condition_reason_is_in_camel_case(reason: Reason, condition: str) -> None:
    """Kubernetes refuses condition reasons with other characters."""
    assert condition == reason.condition


def test_every_reason_has_a_text_and_a_condition_of_its_own() -> None:
    assert all(reason.text for reason in Reason)
    assert len({reason.condition for reason in Reason}) == len(Reason)
    assert all(reason.condition.isalnum() for reason in Reason)


def test_metallb_says_not_owner_for_what_we_tell_apart() -> None:
    assert as_metallb_l2(Reason.NO_LOCAL_ENDPOINTS) is Reason.NOT_OWNER
    assert as_metallb_l2(Reason.NODE_UNKNOWN) is Reason.NO_MATCHING_ADVERTISEMENT
    assert as_metallb_l2(Reason.ANNOUNCED) is Reason.ANNOUNCED
