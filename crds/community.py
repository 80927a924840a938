"""Community metallb.io/v1beta1: names for BGP communities, which BGPAdvertisements use."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from crds.base import Resource, Strict
from crds.communities import parse_community
from crds.errors import CommunityError, Problem


def check_literal(text: str) -> str:
    """Refuse what is no community, in pydantic's terms."""
    try:
        parse_community(text)
    except CommunityError as exc:
        raise PydanticCustomError("community", "{why}", {"why": str(exc)}) from exc
    return text


class CommunityAlias(Strict):
    """A name and what it stands for."""

    name: str = ""
    value: Annotated[str, AfterValidator(check_literal)]


class CommunitySpec(Strict):
    """The aliases; each name is to be unique among all Community objects."""

    communities: list[CommunityAlias] = Field(default_factory=list)


class Community(Resource):
    """Named BGP communities."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "Community"
    PLURAL: ClassVar[str] = "communities"

    spec: CommunitySpec = CommunitySpec()
    status: dict[str, Any] = Field(default_factory=dict)

    def problems(self) -> Iterator[Problem]:
        """Names that this object gives twice."""
        first: dict[str, int] = {}
        for place, alias in enumerate(self.spec.communities):
            earlier = first.setdefault(alias.name, place)
            if earlier != place:
                path = ("spec", "communities", place, "name")
                yield Problem(path, f"is the name of entry [{earlier}] too", alias.name)
