"""How addresses and ranges of addresses are spelt in the API."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from crds.errors import AddressError

Address = IPv4Address | IPv6Address


def parse_address(text: str) -> Address:
    """
    Read one address, IPv4 or IPv6, as the Kubernetes API writes it.

    No zone, no leading zeros, no IPv4-mapped form (RFC 4291 §2.5.5.2): such a VIP could not be
    compared with what ARP and ND carry. Raises AddressError.
    """
    try:
        address: Address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError as exc:
        raise AddressError(f"{text!r} is not an IPv4 or IPv6 address{_dotted(text)}") from exc
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise AddressError(f"{text!r} has a zone; write {text.partition('%')[0]}")
        if address.ipv4_mapped is not None:
            raise AddressError(f"{text!r} is an IPv4 address; write {address.ipv4_mapped}")
    return address


def _dotted(text: str) -> str:
    """The end of the sentence for an address whose dots became commas, as scanned texts have it."""
    try:
        return f"; write {ip_address(text.replace(',', '.'))}" if "," in text else ""
    except ValueError:
        return ""


@lru_cache(maxsize=4096)  # an entry is read by its check, by its pool's and by whoever uses it
def parse_range(text: str) -> tuple[Address, Address]:
    """
    Read `a/b` or `a-b` as spec.addresses lists it, and return the first and the last address.

    Blanks around the dash are allowed. Host bits of a prefix are ignored, as MetalLB ignores
    them: 192.0.2.7/24 is 192.0.2.0/24. A bare address, a mask instead of a length, and ends of
    two families are refused. Raises AddressError.
    """
    if "-" in text:
        start, _, end = text.partition("-")
        first, last = parse_address(start.strip()), parse_address(end.strip())
        if first.version != last.version:
            raise AddressError(f"{text!r} starts in IPv{first.version}, ends in IPv{last.version}")
        if int(first) > int(last):
            raise AddressError(f"{text!r} ends before it starts; write {last}-{first}")
        return first, last
    head, slash, bits = text.partition("/")
    address = parse_address(head)
    if not slash:
        raise AddressError(f"{text!r} is a bare address; write {address}/{address.max_prefixlen}")
    if not (bits.isascii() and bits.isdigit() and int(bits) <= address.max_prefixlen):
        raise AddressError(
            f"prefix length {bits!r} of {text!r}, need a number of 0 to {address.max_prefixlen}"
        )
    # By hand: ip_network would read and write IPv6 addresses as text several times.
    rest = (1 << (address.max_prefixlen - int(bits))) - 1
    kind = type(address)
    return kind(int(address) & ~rest), kind(int(address) | rest)
