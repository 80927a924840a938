"""ConfigurationState metallb.io/v1beta1: whether a component could use the configuration."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from crds.base import Column, Lenient, Resource, Strict, empty_dict, empty_list, made

CONTROLLER_CONDITION = "poolReconcilerValid"
SPEAKER_CONDITION = "configReconcilerValid"
Result = Literal["Valid", "Invalid", "Unknown"]


class Condition(Lenient):
    """metav1.Condition, as far as the summary needs it."""

    type: str  # what it is about
    status: Literal["True", "False", "Unknown"]  # whether it holds
    reason: str = ""  # why, as one word
    message: str = ""  # why, for people
    last_transition_time: str = ""  # when the status last changed
    observed_generation: int = 0  # metadata.generation that it was found with


class ConfigurationStateStatus(Strict):
    """The conditions, and what they come to."""

    result: Result = "Unknown"  # Valid when all conditions hold
    error_summary: str = ""  # messages of what failed, a line each
    conditions: list[Condition] = Field(
        default_factory=empty_list
    )  # one for each part of the component


class ConfigurationState(Resource):
    """`controller` or `speaker-<node>`; written by that component, made anew when deleted."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "ConfigurationState"
    PLURAL: ClassVar[str] = "configurationstates"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Result", ".status.result"),
        Column("Error Summary", ".status.errorSummary"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind
    status: ConfigurationStateStatus = Field(default_factory=made(ConfigurationStateStatus))


def summarize(conditions: Iterable[Condition]) -> ConfigurationStateStatus:
    """The status of a component with these conditions; Unknown until there is one."""
    listed = list(conditions)
    if not listed:
        return ConfigurationStateStatus()
    failed = [condition for condition in listed if condition.status != "True"]
    summary = "\n".join(f"{c.type}: {c.message or c.reason or c.status}" for c in failed)
    return ConfigurationStateStatus.model_validate(
        {
            "result": "Invalid" if failed else "Valid",
            "errorSummary": summary,
            "conditions": listed,
        }
    )
