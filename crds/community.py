"""Community metallb.io/v1beta1: names for BGP communities, which BGPAdvertisements use."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from crds.base import Resource, Strict, empty_dict, empty_list, made
from crds.checks import readable_by
from crds.communities import parse_community
from crds.errors import Problem

check_literal = readable_by(parse_community, "community")


class CommunityAlias(Strict):
    """A name and what it stands for."""

    name: str = ""  # what BGPAdvertisements call it
    value: Annotated[str, AfterValidator(check_literal)]  # 64512:100 or large:64512:1:2


class CommunitySpec(Strict):
    """The aliases; each name is to be unique among all Community objects."""

    communities: list[CommunityAlias] = Field(
        default_factory=empty_list
    )  # names, and what each means


class Community(Resource):
    """Named BGP communities."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "Community"
    PLURAL: ClassVar[str] = "communities"

    spec: CommunitySpec = Field(default_factory=made(CommunitySpec))
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind

    def problems(self) -> Iterator[Problem]:
        """Names that this object gives twice."""
        first: dict[str, int] = {}
        for place, alias in enumerate(self.spec.communities):
            earlier = first.setdefault(alias.name, place)
            if earlier != place:
                path = ("spec", "communities", place, "name")
                yield Problem(path, f"is the name of entry [{earlier}] too", alias.name)
