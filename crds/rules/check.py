"""All rules together."""

import attrs

from crds.rules.advertisements import check_bgp_ads, check_communities
from crds.rules.backend import Backend, check_backend
from crds.rules.findings import Finding
from crds.rules.objects import Objects
from crds.rules.peers import check_bfd_profiles, check_peers
from crds.rules.pools import check_pools
from crds.rules.warnings import check_loose_ends


@attrs.frozen
class Options:
    """What rules depend on beside the objects."""

    backend: Backend | None = None  # None: rules that hold for every one
    secrets_pass_through: bool = False  # frr-k8s reads passwords itself


def check(objects: Objects, options: Options = Options()) -> list[Finding]:
    """All that is wrong between the objects of a configuration, warnings included."""
    return [
        *check_pools(objects),
        *check_communities(objects),
        *check_bfd_profiles(objects),
        *check_peers(objects, secrets_pass_through=options.secrets_pass_through),
        *check_bgp_ads(objects),
        *(check_backend(objects, options.backend) if options.backend else ()),
        *check_loose_ends(objects),
    ]
