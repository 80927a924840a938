"""What is wrong with an input, said once for logs, status and the command line."""

import enum

import attrs


class Severity(enum.StrEnum):
    """What a finding costs."""

    ERROR = "error"  # the object, or its file, is not used as written
    WARNING = "warning"  # it is used, but hardly does what was meant


class Cause(enum.StrEnum):
    """The kind of a finding; the value is the code that logs and status show."""

    UNREADABLE = "unreadable"  # the file or directory cannot be read
    BAD_ENCODING = "bad_encoding"  # not UTF-8
    BAD_YAML = "bad_yaml"  # not YAML, or YAML we do not take (tags, too large, too many aliases)
    BAD_OBJECT = "bad_object"  # a document that is no Kubernetes object
    UNKNOWN_KIND = "unknown_kind"  # a kind that Stentor does not read
    UNKNOWN_FIELD = "unknown_field"  # a field that the kind does not have
    BAD_VALUE = "bad_value"  # a value the field does not take
    DUPLICATE = "duplicate"  # one object, or one address of a node, in two places
    OVERLAP = "overlap"  # two pools share addresses
    SELECTS_NOTHING = "selects_nothing"  # an advertisement that matches no pool, node or service
    NOT_ADVERTISED = "not_advertised"  # a pool that no advertisement selects
    UNKNOWN_NODE = "unknown_node"  # named, but no Node manifest describes it
    NO_VIP = "no_vip"  # a Service of type LoadBalancer without an address
    VIP_REFUSED = "vip_refused"  # a Service whose address cannot be announced
    BAD_ANNOTATION = "bad_annotation"  # an unknown key or value under stentor.io/
    DEPRECATED = "deprecated"  # works, but another name is the one to use


@attrs.frozen(order=True)
class Finding:
    """
    One thing that is wrong, and what would be right.

    `file` is relative to the manifest directory; `line` counts from 1, 0 where there is none.
    `object` is "Kind namespace/name", `field` a path as in YAML: spec.addresses[1].
    """

    file: str
    line: int
    object: str
    field: str
    message: str
    severity: Severity = Severity.ERROR
    cause: Cause = Cause.BAD_VALUE
    value: str = ""
    is_kept: bool = False  # the last good version, read before, stays in use

    def __str__(self) -> str:
        """As a compiler would print it: file:line: severity: object: field: message."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = (place, str(self.severity), self.object, self.field, self.message)
        text = ": ".join(part for part in parts if part)
        return f"{text} (the last good version stays in use)" if self.is_kept else text
