"""Strategies: specs of our kinds that are right, and the same with something else in one place."""

import copy
from typing import Any

from hypothesis import strategies as st

Raw = dict[str, Any]
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
KEYS = st.sampled_from(["app", "zone", "kubernetes.io/hostname", "example.com/Rack_1"])
VALUES = st.sampled_from(["", "a", "east", "N1", "x_y.z-1"])
ASNS = st.integers(1, 2**32 - 1)
ADDRESSES = st.one_of(
    st.integers(0x0B000000, 0xDF000000).map(lambda n: ".".join(str(b) for b in n.to_bytes(4))),
    st.integers(0, 0xFFFF).map(lambda n: f"2001:db8::{n:x}"),
)
COMMUNITIES = st.one_of(
    st.tuples(*[st.integers(0, 0xFFFF)] * 2).map(lambda parts: ":".join(map(str, parts))),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 3).map(lambda p: "large:" + ":".join(map(str, p))),
)


def _listed(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Distinct ones, as most lists of ours want them."""
    return st.lists(entries, max_size=3, unique_by=repr)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Raw]:
    """A mapping with any of `fields`."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def expressions(draw: st.DrawFn) -> Raw:
    """One of matchExpressions."""
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]))
    raw: Raw = {"key": draw(KEYS), "operator": operator}
    if operator in {"In", "NotIn"}:
        raw["values"] = draw(st.lists(VALUES, min_size=1, max_size=3, unique=True))
    return raw


def _meaning(selector: Raw) -> str:
    """Selectors that say the same are not distinct, whatever the order."""
    parts = [
        (e["key"], e["operator"], sorted(e.get("values", [])))
        for e in selector.get("matchExpressions", [])
    ]
    return repr((sorted(selector.get("matchLabels", {}).items()), sorted(parts)))


SELECTOR = _some(
    matchLabels=st.dictionaries(KEYS, VALUES, max_size=2),
    matchExpressions=st.lists(
        expressions(), max_size=2, unique_by=lambda e: _meaning({"matchExpressions": [e]})
    ),
)
SELECTORS = st.lists(SELECTOR, max_size=2, unique_by=_meaning)


@st.composite
def ranges(draw: st.DrawFn) -> list[str]:
    """Entries of a pool that share no address."""
    spans = []
    for number in draw(st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True)):
        match draw(st.integers(0, 3)):
            case 0:
                spans.append(f"198.18.{number}.0/{draw(st.integers(24, 32))}")
            case 1:
                ends = sorted(draw(st.tuples(*[st.integers(0, 255)] * 2)))
                spans.append(f"198.18.{number}.{ends[0]} - 198.18.{number}.{ends[1]}")
            case 2:
                spans.append(f"2001:db8:{number:x}::/{draw(st.integers(48, 128))}")
            case _:
                spans.append(f"2001:db8:{number:x}::1-2001:db8:{number:x}::FF")
    return spans


POOL = st.builds(
    lambda addresses, rest: {"addresses": addresses, **rest},
    ranges(),
    _some(
        autoAssign=st.booleans(),
        avoidBuggyIPs=st.booleans(),
        serviceAllocation=_some(
            priority=st.integers(-(2**31), 2**31 - 1),
            namespaces=_listed(NAMES),
            namespaceSelectors=SELECTORS,
            serviceSelectors=SELECTORS,
        ),
    ),
)
_SELECTING = {
    "ipAddressPools": _listed(NAMES),
    "ipAddressPoolSelectors": SELECTORS,
    "nodeSelectors": SELECTORS,
}
L2_ADVERTISEMENT = _some(
    **_SELECTING,
    interfaces=_listed(NAMES),
    serviceSelectors=SELECTORS,
    preferredNodeSelectors=st.lists(
        st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": SELECTOR}), max_size=2
    ),
)
_ROUTES = {
    "aggregationLength": st.integers(1, 32),
    "aggregationLengthV6": st.integers(1, 128),
    "localPref": st.integers(0, 2**32 - 1),
    "communities": _listed(COMMUNITIES),
}
_BY_ADDRESS = {"aggregationLength": st.just(32), "aggregationLengthV6": st.just(128)}
BGP_ADVERTISEMENT = st.one_of(
    _some(**_SELECTING, **_ROUTES, peers=_listed(NAMES)),
    _some(**_SELECTING, peers=_listed(NAMES), serviceSelectors=SELECTORS),
)
OLD_POOL = st.one_of(
    st.fixed_dictionaries(
        {"protocol": st.just("layer2"), "addresses": ranges()},
        optional={"autoAssign": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"protocol": st.just("bgp"), "addresses": ranges()},
        optional={"bgpAdvertisements": st.lists(_some(**{**_ROUTES, **_BY_ADDRESS}), max_size=1)},
    ),
)


@st.composite
def peers(draw: st.DrawFn) -> Raw:
    """A BGPPeer of v1beta2."""
    raw: Raw = {"myASN": draw(ASNS)}
    if draw(st.booleans()):
        raw["peerASN"] = draw(ASNS)
    else:
        raw["dynamicASN"] = draw(st.sampled_from(["internal", "external"]))
    key = draw(st.sampled_from(["peerAddress", "interface"]))
    raw[key] = draw(ADDRESSES if key == "peerAddress" else NAMES)
    if (hold := draw(st.none() | st.integers(3, 600))) is not None:
        raw["holdTime"] = draw(st.sampled_from([f"{hold}s", f"{hold // 60}m{hold % 60 + 3}s"]))
        if draw(st.booleans()):
            raw["keepaliveTime"] = f"{draw(st.integers(1, 3))}s"
    is_external = raw.get("dynamicASN") == "external" or raw.get("peerASN", 0) not in {
        0, raw["myASN"],
    }  # fmt: skip
    if is_external and draw(st.booleans()):
        raw["ebgpMultiHop"] = True
    password: Raw = draw(
        st.sampled_from([{}, {"password": "x"}, {"passwordSecret": {"name": "pw"}}])
    )
    rest = _some(
        localASN=ASNS,
        sourceAddress=ADDRESSES,
        peerPort=st.integers(1, 16_384),
        connectTime=st.integers(1, 65_535).map(lambda s: f"{s}s"),
        routerID=st.just("192.0.2.77"),
        nodeSelectors=SELECTORS,
        bfdProfile=NAMES,
        enableGracefulRestart=st.booleans(),
        vrf=NAMES,
        disableMP=st.booleans(),
        dualStackAddressFamily=st.booleans(),
    )
    return {**raw, **password, **draw(rest)}


BFD_PROFILE = _some(
    receiveInterval=st.integers(10, 60_000),
    transmitInterval=st.integers(10, 60_000),
    detectMultiplier=st.integers(2, 255),
    echoInterval=st.integers(10, 60_000),
    echoMode=st.booleans(),
    passiveMode=st.booleans(),
    minimumTtl=st.integers(1, 254),
)
COMMUNITY = _some(
    communities=st.lists(
        st.fixed_dictionaries({"name": NAMES, "value": COMMUNITIES}),
        max_size=3,
        unique_by=lambda alias: alias["name"],
    )
)
_TOLERATION = st.one_of(
    _some(key=KEYS, operator=st.sampled_from(["Exists", "Equal"]), value=VALUES,
          effect=st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    st.just({"effect": "NoExecute", "tolerationSeconds": 99}),
)  # fmt: skip
METALLB = _some(
    nodeSelector=st.dictionaries(KEYS, VALUES, max_size=2),
    speakerTolerations=st.lists(_TOLERATION, max_size=2),
    controllerTolerations=st.lists(_TOLERATION, max_size=2),
    logLevel=st.sampled_from(["all", "debug", "info", "warn", "error", "none"]),
    loadBalancerClass=KEYS,
    bgpBackend=st.sampled_from(["native", "frr", "frr-k8s"]),
    frrk8sConfig=_some(alwaysBlock=st.just(["192.0.2.0/24"]), namespace=NAMES),
    speakerConfig=_some(priorityClassName=NAMES, annotations=st.dictionaries(KEYS, VALUES),
                        resources=st.just({"limits": {"cpu": "1"}})),
)  # fmt: skip

SPECS: dict[str, st.SearchStrategy[Raw]] = {
    "IPAddressPool": POOL,
    "L2Advertisement": L2_ADVERTISEMENT,
    "BGPAdvertisement": BGP_ADVERTISEMENT,
    "BGPPeer": peers(),
    "BFDProfile": BFD_PROFILE,
    "Community": COMMUNITY,
    "AddressPool": OLD_POOL,
    "MetalLB": METALLB,
}

# --- something else in one place

_NUMBERS = st.one_of(
    st.integers(-2, 2), st.sampled_from([17, 129, 256, 16_385, 65_536, 2**31, 2**32, 2**40])
)
_TEXTS = st.sampled_from([
    "", "a", "A b", "é", "-", "a" * 64, "x/y/z", "/x", "a..b/x", "in", "Exists", "bgp", "layer2",
    "internal", "frr-k8s-external", "192.0.2.1", "192.0.2.0/24", "192.0.2.0/33", "192.0.2/24",
    "192.0.2.9-192.0.2.1", "::/129", "fe80::1%eth0", "::ffff:192.0.2.1", "192.0.2.1-2001:db8::1",
    "64512:1", "64512:65536", "1:2:3", "large:1:2:3", "large:1:2", "0s", "2s", "3s", "500ms", "1h",
    "-5s", "1.5s", "90", "1μs", "999999h", "65536s",
])  # fmt: skip
_ODD = st.one_of(st.none(), st.booleans(), st.just({}), st.just([]), _NUMBERS, _TEXTS)


def _in_place_of(value: Any) -> st.SearchStrategy[Any]:
    """Most of the time something of the same type: types are soon checked."""
    match value:
        case str():
            return st.one_of(_TEXTS, _TEXTS, _ODD)
        case int():
            return st.one_of(_NUMBERS, _NUMBERS, _ODD)
        case _:
            return _ODD


@st.composite
def altered(draw: st.DrawFn, specs: st.SearchStrategy[Raw]) -> Raw:
    """A spec of `specs` in which one field or entry is another, is gone, or is new."""
    spec = copy.deepcopy(draw(specs))  # parts of it belong to the strategy
    places = list(_places(spec))
    parent, key = draw(st.sampled_from(places)) if places else (spec, "surplus")
    match draw(st.sampled_from(["other", "other", "gone", "twice", "surplus"])):
        case "gone" if places:
            del parent[key]
        case "twice" if isinstance(parent, list):
            parent.append(parent[int(key)])
        case "surplus":
            spec[draw(st.sampled_from(["surplus", *_FIELDS]))] = draw(_ODD)
        case _:
            old = parent[key] if places else None
            parent[key] = draw(_in_place_of(old))
    return spec


_FIELDS = (
    "addresses", "protocol", "interfaces", "peers", "communities", "aggregationLength",
    "peerAddress", "interface", "peerASN", "dynamicASN", "holdTime", "keepaliveTime",
    "connectTime", "ebgpMultiHop", "password", "minimumTtl", "bgpBackend", "tolerationSeconds",
)  # fmt: skip


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(items):
        yield value, key
        if isinstance(part, dict | list):
            yield from _places(part)
