"""Advertisements with pools, with community aliases, and among one another."""

from collections.abc import Iterator, Mapping
from itertools import combinations

from crds.bgp_advertisement import BGPAdvertisement
from crds.communities import BgpCommunity, looks_literal, parse_community
from crds.community import Community
from crds.errors import CommunityError
from crds.explain import suggestion
from crds.rules.findings import Finding, error, pending, warning
from crds.rules.objects import Named, Objects, PoolFacts
from crds.rules.repeats import repeated_specs

LENGTH_FIELDS = {4: "aggregationLength", 6: "aggregationLengthV6"}


def aliases_of(objects: Objects) -> dict[str, BgpCommunity]:
    """What the names of all Community objects stand for; of one given twice the first counts."""
    found: dict[str, BgpCommunity] = {}
    for community in objects.communities:
        for alias in community.model.spec.communities:
            try:
                found.setdefault(alias.name, parse_community(alias.value))
            except CommunityError:
                continue  # told where the object itself is looked at
    return found


def communities_of(
    ad: BGPAdvertisement, aliases: Mapping[str, BgpCommunity]
) -> tuple[BgpCommunity, ...]:
    """The communities of an advertisement, sorted; names that nobody gives are left out."""
    found = {
        parse_community(text) if looks_literal(text) else aliases[text]
        for text in ad.spec.communities
        if looks_literal(text) or text in aliases
    }
    return tuple(sorted(found))


def check_communities(objects: Objects) -> Iterator[Finding]:
    """Names that two Community objects give."""
    owner: dict[str, Named[Community]] = {}
    for community in objects.communities:
        for place, alias in enumerate(community.model.spec.communities):
            first = owner.setdefault(alias.name, community)
            if first is not community:
                path = ("spec", "communities", place, "name")
                message = f"{alias.name} is given by {first.subject} too"
                yield error(community.subject, path, message, alias.name)


def check_bgp_ads(objects: Objects) -> Iterator[Finding]:
    """Unknown aliases, aggregates larger than a pool, LOCAL_PREFs that contradict, twins."""
    aliases = aliases_of(objects)
    for ad in objects.bgp_ads:
        for place, text in enumerate(ad.model.spec.communities):
            if not looks_literal(text) and text not in aliases:
                hint = suggestion(text, sorted(aliases))
                path = ("spec", "communities", place)
                message = f"{text} is neither a community nor the name of one{hint}"
                yield pending(ad.subject, path, message, text)
        for facts in objects.pools_selected(ad.model):
            yield from _lengths(ad, facts)
    yield from repeated_specs(objects.bgp_ads)
    yield from _contradictions(objects)


def _lengths(ad: Named[BGPAdvertisement], facts: PoolFacts) -> Iterator[Finding]:
    """An aggregate must not be larger than the largest block of any entry."""
    for span in facts.ranges:
        version = span.first.version
        length = ad.model.spec.length(version)
        if length < span.shortest:
            entry = facts.pool.model.spec.addresses[span.place]
            yield error(
                ad.subject,
                ("spec", LENGTH_FIELDS[version]),
                f"/{length} is larger than {entry} of {facts.pool.subject}, "
                f"need {span.shortest} or more",
                length,
            )


def _contradictions(objects: Objects) -> Iterator[Finding]:
    """
    Two advertisements of one route with different LOCAL_PREFs (MetalLB's rule).

    Those that pick services by label may never meet; the speaker looks when they do.
    """
    by_pool: dict[str, list[Named[BGPAdvertisement]]] = {}
    for ad in objects.bgp_ads:
        if not ad.model.spec.service_selectors:
            for facts in objects.pools_selected(ad.model):
                by_pool.setdefault(facts.pool.name, []).append(ad)
    told: set[tuple[int, int]] = set()
    for facts in objects.pools:
        ads = by_pool.get(facts.pool.name, [])
        if len({ad.model.spec.local_pref for ad in ads}) < 2:
            continue
        for one, other in combinations(ads, 2):
            if (id(one), id(other)) not in told and _contradict(objects, one, other, facts):
                told.add((id(one), id(other)))
                yield _contradiction(objects, one, other, facts)


def _contradict(
    objects: Objects,
    one: Named[BGPAdvertisement],
    other: Named[BGPAdvertisement],
    facts: PoolFacts,
) -> bool:
    mine, theirs = one.model.spec, other.model.spec
    if mine.local_pref == theirs.local_pref or not _share_peers(one.model, other.model):
        return False
    if not any(mine.length(version) == theirs.length(version) for version in facts.versions):
        return False
    nodes = objects.nodes_selected(mine.node_selectors)
    return not objects.nodes or not nodes.isdisjoint(objects.nodes_selected(theirs.node_selectors))


def _contradiction(
    objects: Objects,
    one: Named[BGPAdvertisement],
    other: Named[BGPAdvertisement],
    facts: PoolFacts,
) -> Finding:
    mine, theirs = one.model.spec.local_pref, other.model.spec.local_pref
    tell = error if objects.nodes else warning  # without nodes nobody can tell whether they meet
    return tell(
        other.subject,
        ("spec", "localPref"),
        f"is {theirs}, but {mine} in {one.subject} for the same routes of {facts.pool.subject}",
        theirs,
    )


def _share_peers(one: BGPAdvertisement, other: BGPAdvertisement) -> bool:
    some, others = set(one.spec.peers), set(other.spec.peers)
    return not some or not others or not some.isdisjoint(others)
