"""What the ownership core asks the herald process to do: values only, carried out in order."""

import enum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import attrs

Vip: TypeAlias = IPv4Address | IPv6Address


class Voice(enum.IntEnum):
    """How the data plane treats a question about a VIP: `enum slot_state` of layout.h."""

    PASS = 0  # known and counted, the kernel decides
    HELD = 1  # answer with our LLADDR under a valid lease
    GIVEN = 2  # answer with the new holder's LLADDR until its TAKE is heard
    ELSEWHERE = 3  # drop under a valid lease
    WEAK = 5  # as HELD, of a seat taken without a witness: see Seat.weak_of


@attrs.frozen
class Speak:
    """
    Flip the table slot of `vip` on all its interfaces; a VIP without a row gets one first.

    `lladdr` is the new holder's, six octets, and given with Voice.GIVEN alone.
    """

    vip: Vip
    voice: Voice
    lladdr: bytes | None = None


@attrs.frozen
class SpeakAll:
    """As Speak, for many VIPs at once whose rows are in the table already; `keys`: their octets."""

    keys: tuple[bytes, ...]
    vips: tuple[Vip, ...]
    voice: Voice


@attrs.frozen
class Unlist:
    """Take the row of `vip` out of the table: not in the plan any more, or never to be touched."""

    vip: Vip


@attrs.frozen
class Announce:
    """
    Begin the schedule of GARPs or unsolicited NAs for `vip`; `why` is its log field.

    `refreshes`: whether it goes on after the first rounds.
    """

    vip: Vip
    why: str
    refreshes: bool = True


@attrs.frozen
class Defend:
    """Announce `vip` once, since another LLADDR claims what we hold (RFC 5227 section 2.4 c)."""

    vip: Vip


@attrs.frozen
class Quiet:
    """Stop announcing `vip`."""

    vip: Vip


@attrs.frozen
class Probe:
    """
    Send one ARP probe (RFC 5227 section 1.1) or DAD solicitation (RFC 4862 section 5.4.2).

    An answer from an LLADDR that is not ours comes back as HeraldCore.probe_answered.
    """

    vip: Vip


@attrs.frozen
class Send:
    """Send `payload`, at most facts.MAX_DATAGRAM bytes, to one member as a user message."""

    node: str
    payload: bytes


@attrs.frozen
class SendAll:
    """Send the same payload to several members, in this order: as many Sends, in one value."""

    nodes: tuple[str, ...]
    payload: bytes


@attrs.frozen
class SendBeat:
    """
    Send one beat to the program of `node` on its interface `segment`, out of `interface` of ours.

    `lladdr` is the target's, six octets. With `address` the beat goes to that one by UDP, else in
    a frame. `claimed` is the epoch of a fence record that the program is to obey.
    """

    node: str
    segment: str
    interface: str
    lladdr: bytes
    seq: int
    has_witness: bool
    claimed: int | None = None
    hears: bool = False  # its reflections reach us
    address: Vip | None = None


@attrs.frozen
class Broadcast:
    """Queue `payload` as a memberlist user broadcast; a later one of the same `key` replaces it."""

    payload: bytes
    key: str


@attrs.frozen
class Rejoin:
    """
    `node` is no member to the ring, and yet we hear it: exchange state with it (Swim.join) now.

    `sender` is where its message came from, as `received` was told. Both are empty when somebody
    out there is not known by name: every join target that is no member is to be tried now.
    """

    node: str
    sender: str


@attrs.frozen
class Accuse:
    """Tell the ring that `node` is dead (Swim.accuse): it has members that do not hear beats."""

    node: str


@attrs.frozen
class Note:
    """Log one change of state: `event` in the past tense with its fields."""

    event: str
    fields: dict[str, str | int | float | bool]


@attrs.frozen
class Exit:
    """Another live instance has our name: stop now, answer nothing, exit with `message`."""

    message: str


Action: TypeAlias = (
    Speak
    | SpeakAll
    | Unlist
    | Announce
    | Defend
    | Quiet
    | Probe
    | Send
    | SendAll
    | SendBeat
    | Broadcast
    | Rejoin
    | Accuse
    | Note
    | Exit
)
