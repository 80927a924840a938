"""
YAML and JSON text to values that know their lines, within bounds.

Built on libyaml's events, not on a loader: each document of a file stands or falls alone,
anchors are expanded under a budget (so that a "billion laughs" file ends in a message), nesting
is limited, a key given twice is refused, and dates stay text. Otherwise plain scalars mean what
they mean to kubectl (YAML 1.1: yes and on are booleans).
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import attrs
import yaml

from stentor.cluster.yaml_hints import explained

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, the same events
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_NODES = 2_000_000  # values of one file, aliases expanded: 10,000 services have 400,000
MAX_DEPTH = 64  # the deepest field of our kinds lies at 8

_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_NUMBER_MAX = 32  # characters; longer ones are no number of any field, and slow to convert
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class YamlError(Exception):
    """A document that is not YAML, or YAML that is not taken. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        """Store where and what."""
        self.line = line
        super().__init__(message)


@attrs.frozen
class Node:
    """A value and the line it starts on. `content` is a scalar, a dict or list of nodes."""

    content: Any
    line: int
    key_lines: dict[str, int] = attrs.field(factory=dict)  # of a mapping: where each key stands

    def plain(self) -> Any:
        """Return the value without lines."""
        match self.content:
            case dict():
                return {key: node.plain() for key, node in self.content.items()}
            case list():
                return [node.plain() for node in self.content]
            case scalar:
                return scalar

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """Return the line of the field at `path`, or of the innermost part of it that exists."""
        node, line = self, self.line
        for step in path:
            content = node.content
            if isinstance(content, dict) and isinstance(step, str) and step in content:
                node, line = content[step], node.key_lines[step]
            elif isinstance(content, list) and isinstance(step, int) and step < len(content):
                node, line = content[step], content[step].line
            else:
                break
        return line


@attrs.define
class _Budget:
    left: int = MAX_NODES

    def spend(self, nodes: int, line: int) -> None:
        self.left -= nodes
        if self.left < 0:
            raise YamlError(line, f"more than {MAX_NODES} values with aliases expanded; split it")


def read_documents(text: str) -> Iterator[Node | YamlError]:
    """
    Yield each document of `text` with its lines; an error stands for the document it is in.

    Documents without content are left out. A document after a broken one is read all the same.
    """
    budget = _Budget()
    for first_line, part in _split(text):
        try:
            yield from _Composer(first_line, budget).documents(part)
        except YamlError as exc:
            yield exc


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Cut at each line `---`, which YAML allows nowhere but between documents."""
    starts = [0, *(found.start() for found in _DOCUMENT_START.finditer(text)), len(text)]
    line = 1
    for start, end in pairwise(starts):
        part = text[start:end]
        if not all(row.startswith("%") or not row.strip() for row in part.splitlines()):
            yield line, part  # anything but blank lines and directives (%YAML)
        line += part.count("\n")


@attrs.frozen
class _Anchored:
    """What an anchor names, and what an alias to it costs."""

    node: Node
    size: int
    height: int


@attrs.define
class _Open:
    """A collection under construction. `key` is the mapping key that waits for its value."""

    node: Node
    anchor: str | None
    nodes_before: int
    height: int = 1  # levels of collections below and including this one
    key: str | None = None
    key_line: int = 0
    merges: list[Node] = attrs.field(factory=list)


@attrs.define
class _Composer:
    """Builds nodes from events. Iterative: deep input costs a message, not the stack."""

    first_line: int
    budget: _Budget
    stack: list[_Open] = attrs.field(factory=list)
    anchors: dict[str, _Anchored] = attrs.field(factory=dict)
    count: int = 0  # nodes so far, to know the size of what an anchor names
    done: Node | None = None

    def documents(self, text: str) -> Iterator[Node]:
        try:
            for event in yaml.parse(text, Loader=_Loader):
                self._take(event)
                if isinstance(event, yaml.DocumentEndEvent):
                    if self.done is not None and self.done.content is not None:
                        yield self.done
                    self.done, self.anchors = None, {}
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            # What is missing at the end is missing from the last line, not from the one after.
            last = text.rstrip().count("\n")
            place = min(mark.line if mark is not None else 0, last)
            message = explained(str(exc.problem or exc.context), text.splitlines(), place)
            raise YamlError(self.first_line + place, message) from exc
        except yaml.YAMLError as exc:
            raise YamlError(self.first_line, str(exc)) from exc

    def _take(self, event: yaml.Event) -> None:
        line = self.first_line + (event.start_mark.line if event.start_mark is not None else 0)
        match event:
            case yaml.ScalarEvent():
                node = self._scalar(event, line)
                self._count(1, line)
                self._name(event.anchor, _Anchored(node, 1, 0))
                self._place(node, 0, event.value)
            case yaml.AliasEvent():
                named = self._aliased(str(event.anchor), line)
                self._count(named.size, line)
                self._place(attrs.evolve(named.node, line=line), named.height, None)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case _:
                pass  # stream and document marks

    def _count(self, nodes: int, line: int) -> None:
        self.count += nodes
        self.budget.spend(nodes, line)

    def _name(self, anchor: str | None, named: _Anchored) -> None:
        if anchor is not None:
            self.anchors[anchor] = named

    def _aliased(self, anchor: str, line: int) -> _Anchored:
        named = self.anchors.get(anchor)
        if named is None:
            raise YamlError(line, f"alias *{anchor} has no anchor &{anchor} before it")
        if len(self.stack) + named.height > MAX_DEPTH:
            raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels")
        return named

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            raise YamlError(line, f"tag {event.tag} is not taken; remove it")
        if len(self.stack) >= MAX_DEPTH:
            raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels")
        if self.stack and self._awaits_key(self.stack[-1]):
            raise YamlError(line, "a mapping key must be text")
        node = Node({} if is_mapping else [], line)
        self.stack.append(_Open(node, event.anchor, self.count))
        self._count(1, line)

    def _close(self) -> None:
        ended = self.stack.pop()
        for source in ended.merges:
            for key, node in source.content.items():
                if key not in ended.node.content:
                    ended.node.content[key] = node
                    ended.node.key_lines[key] = node.line
        size = self.count - ended.nodes_before
        self._name(ended.anchor, _Anchored(ended.node, size, ended.height))
        self._place(ended.node, ended.height, None)

    @staticmethod
    def _awaits_key(parent: _Open) -> bool:
        return isinstance(parent.node.content, dict) and parent.key is None

    def _place(self, node: Node, height: int, text: str | None) -> None:
        """Put a finished node where it belongs; `text` is what a scalar looks like as a key."""
        if not self.stack:
            self.done = node
            return
        parent = self.stack[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.node.content, list):
            parent.node.content.append(node)
        elif parent.key is None:
            self._take_key(parent, node, text if text is not None else node.content)
        elif parent.key == "<<":
            self._merge(parent, node)
            parent.key = None
        else:
            parent.node.content[parent.key] = node
            parent.node.key_lines[parent.key] = parent.key_line
            parent.key = None

    @staticmethod
    def _take_key(parent: _Open, node: Node, text: object) -> None:
        if not isinstance(text, str):
            raise YamlError(node.line, "a mapping key must be text")
        if text in parent.node.content:
            first = parent.node.key_lines[text]
            raise YamlError(node.line, f"key {text!r} is given twice, first in line {first}")
        parent.key, parent.key_line = text, node.line

    @staticmethod
    def _merge(parent: _Open, node: Node) -> None:
        sources = node.content if isinstance(node.content, list) else [node]
        if not all(isinstance(source.content, dict) for source in sources):
            raise YamlError(node.line, "`<<` merges mappings only")
        parent.merges.extend(sources)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        tag = event.tag
        if tag is None and event.implicit[0]:  # plain: neither quoted nor tagged
            return Node(_resolve(event.value), line)
        if tag in (None, "!", f"{_TAG}str"):
            return Node(event.value, line)
        if tag in (f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool", f"{_TAG}null"):
            return Node(_resolve(event.value), line)
        raise YamlError(line, f"tag {tag} is not taken; remove it")


def _resolve(text: str) -> str | int | float | bool | None:
    """Give a plain scalar its type."""
    if text in _NULL:
        return None
    if text.lower() in _BOOLEANS and text in (text.lower(), text.upper(), text.capitalize()):
        return _BOOLEANS[text.lower()]
    if len(text) <= _NUMBER_MAX:
        if _INT.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
