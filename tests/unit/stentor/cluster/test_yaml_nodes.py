"""YAML text to values with lines, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.cluster.yaml_nodes import Node, YamlError, read_documents


def read(text: str) -> list[Any]:
    """Return the plain values of all documents, and errors as (line, message)."""
    return [
        (document.line, str(document)) if isinstance(document, YamlError) else document.plain()
        for document in read_documents(text)
    ]


def read_one(text: str) -> Node:
    [document] = read_documents(text)
    assert isinstance(document, Node)
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"), ("'5'", "5"), ("5", 5), ("-7", -7), ("0x10", 16), ("1.5", 1.5),
        ("yes", True), ("Off", False), ("TRUE", True), ("yEs", "yEs"), ("null", None), ("~", None),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("192.0.2.1", "192.0.2.1"),
        ("1:20:30", "1:20:30"), ("2001:db8::1", "2001:db8::1"), ("!!str 5", "5"), ("!!int '5'", 5),
        ("9" * 40, "9" * 40), ("| \n  two\n  lines\n", "two\nlines\n"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    """But dates stay text, and so do addresses that YAML 1.1 takes for base 60."""
    assert [{"k": value}] == read(f"k: {text}")


def test_documents_are_told_apart_and_empty_ones_left_out() -> None:
    one, two = read("%YAML 1.1\n---\na: 1\n---\n# nothing\n---\n- b\n...\n---\n")

    assert one == {"a": 1}
    assert two == ["b"]


def test_a_broken_document_does_not_take_the_others_with_it() -> None:
    one, (line, message), three = read("a: 1\n---\nb: [\n---\nc: 3\n")

    assert one == {"a": 1}
    assert three == {"c": 3}
    assert line == 3
    assert message


def test_lines_are_those_of_the_file() -> None:
    node = [*read_documents("a: 1\n---\nb:\n  - x\n  - c: 2\n    d: 3\n")][1]

    assert isinstance(node, Node)
    assert node.line_of(("b",)) == 3
    assert node.line_of(("b", 0)) == 4
    assert node.line_of(("b", 1, "d")) == 6


def test_the_line_of_a_missing_field_is_that_of_what_it_is_missing_in() -> None:
    node = read_one("a:\n  b:\n    c: 1\n")

    assert node.line_of(("a", "b", "x", "y")) == 2
    assert node.line_of(("a", "b", "c", "d")) == 3
    assert node.line_of(("x",)) == 1
    assert node.line_of(()) == 1


def test_anchors_and_merges_are_carried_out() -> None:
    text = "d: &d {a: 1, b: 2}\ne:\n  <<: *d\n  b: 3\nf: *d\n"

    [told] = read(text)

    assert told == {"d": {"a": 1, "b": 2}, "e": {"a": 1, "b": 3}, "f": {"a": 1, "b": 2}}


def test_an_alias_stands_in_its_own_line() -> None:
    node = read_one("a: &x [1]\nb:\n  c: *x\n")

    assert node.line_of(("b", "c")) == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("a: 1\nb: 2\na: 3", 3, "key 'a' is given twice, first in line 1", id="a_key"),
        pytest.param("a: *x", 1, "alias *x has no anchor &x before it", id="an_alias_of_nothing"),
        pytest.param("a: &x [*x]", 1, "alias *x has no anchor", id="an_alias_within_its_anchor"),
        pytest.param("a: 1\nb: !!binary x", 2, "tag:yaml.org,2002:binary is not taken", id="a_tag"),
        pytest.param("!!python/tuple [1]", 1, "is not taken", id="a_tag_of_python"),
        pytest.param("{[1]: 2}", 1, "a mapping key must be text", id="a_list_for_a_key"),
        pytest.param(
            "a: b: c", 1, "at `a: b: c`; write each `key: value` on a line of its own",
            id="two_colons",
        ),
        pytest.param(
            "a: x\n  b: 1", 2, "`a: x` has a value, so no lines may be indented below it",
            id="lines_below_a_value",
        ),
        pytest.param(
            "a:\n - x\n b:\n - y", 3, "start it with a dash or indent it less",
            id="a_key_among_entries",
        ),
        pytest.param(
            'a: "x"  1\n', 1, "nothing may follow the closing quote", id="text_after_a_quote"
        ),
        pytest.param(
            "s:\n  a:\n- x\n b:\n", 3, "indent the entry of a list at least as far as the key",
            id="an_entry_left_of_its_key",
        ),
        pytest.param(
            "a: 1\nnote\n", 2, "it is no `key: value`: remove it", id="a_line_of_prose",
        ),
        pytest.param(
            "a:\n\tb: 1", 2, "indent with blanks, not with tabs", id="a_tab"
        ),
        pytest.param("a:\n\t- b", 2, "found character that cannot start", id="a_tab"),
        pytest.param("a: \x00", 1, "control characters are not allowed", id="a_nul"),
        pytest.param("<<: 5", 1, "`<<` merges mappings only", id="a_merge_of_a_number"),
        pytest.param("[" * 500, 1, "nested deeper than 64 levels", id="brackets"),
        pytest.param("- " * 200_000, 1, "nested deeper than 64 levels", id="dashes"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_told_with_its_line(text: str, line: int, message: str) -> None:
    [(told_line, told)] = read(text)

    assert message in told
    assert line == told_line


def test_a_billion_laughs_end_in_a_message() -> None:
    """Thirty lines that would expand to 9^30 values."""
    rows = ["a0: &a0 [" + "x, " * 9 + "]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    [(line, message)] = read("\n".join(rows))

    assert "values with aliases expanded" in message
    assert line < 10


def test_the_budget_is_that_of_a_file_not_of_a_document() -> None:
    """Else many documents could expand what one may not."""
    bomb = "a: &a [" + "x, " * 1000 + "]\nb: &b [" + "*a, " * 1000 + "]"

    told = read("\n---\n".join([bomb] * 3))

    assert [isinstance(document, dict) for document in told] == [True, False, False]


def test_aliases_cannot_nest_past_the_limit() -> None:
    """Each level is shallow by itself; a reader that recurses would run out of stack."""
    rows = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000)]

    [(line, message)] = read("\n".join(rows))

    assert "nested deeper than 64 levels" in message
    assert line < 70


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6).filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6).filter(lambda key: key != "<<"), _JSON, max_size=4))
def test_json_reads_as_itself(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if not all(char.isprintable() and ord(char) < 0xD800 for char in text):
        text = json.dumps(value)  # YAML takes fewer characters raw than JSON does

    told = read(text)

    if told != [value]:
        [(line, message)] = told
        assert (line, message.partition(" at ")[0]) == (
            1,
            "found invalid Unicode character escape code",
        )


@given(st.text(alphabet="ab:-[]{}&*!'\"#|>%,? \n\t\\0", max_size=60))
def test_any_text_gives_values_or_errors_with_a_line_of_the_text(text: str) -> None:
    for document in read_documents(text):
        assert 1 <= document.line <= text.count("\n") + 1
