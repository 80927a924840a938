"""
What is said about a field beside it in the source: the description that `kubectl explain` shows.

A comment on the line of the field, or else the lines of comment above it. Reading the source costs
nothing where the models are only used; keeping the text once keeps it true.
"""

import ast
import inspect
import tokenize
from functools import cache
from io import StringIO

from pydantic import BaseModel


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Field name -> its comment; fields without one are left out. Inherited fields take part."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _of_class(base)
    return found


def _of_class(model: type[BaseModel]) -> dict[str, str]:
    module = inspect.getmodule(model)
    assert module is not None
    source = inspect.getsource(module)
    beside, above = _comments(source)
    tree = ast.parse(source)
    [body] = [n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == model.__name__]
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = beside.get(node.end_lineno or 0) or _above(above, node.lineno)
            if text:
                found[node.target.id] = _sentence(text)
    return found


def _above(comments: dict[int, str], line: int) -> str:
    lines = []
    while (line := line - 1) in comments:
        lines.append(comments[line])
    return " ".join(reversed(lines))


@cache
def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """By line: comments beside code, and those that have a line of their own."""
    beside: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            place = beside if token.line[: token.start[1]].strip() else alone
            place[token.start[0]] = token.string.lstrip("# ").split("# noqa")[0].strip()
    return beside, alone


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
