"""Settings, join targets and patterns: what is refused says the value and what is right."""

import pytest

from speaker.config import ConfigError, Settings, check_join, compile_excludes, from_json


def test_settings_survive_the_way_to_a_child() -> None:
    settings = Settings(node="n1", join=("192.0.2.2:7947",), exclude_interfaces=("^veth",))

    assert settings == from_json(settings.to_json())


@pytest.mark.parametrize("text", ["", "{}", '{"node": 1}', '{"node": "n1", "colour": "red"}'])
def test_what_is_not_settings_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not settings of a speaker"):
        from_json(text)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", None)),
        ("192.0.2.1:7000", ("192.0.2.1", 7000)),
        ("node.example", ("node.example", None)),
        ("node.example:1", ("node.example", 1)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_a_join_target_is_host_and_port(target: str, expected: tuple[str, int | None]) -> None:
    assert expected == check_join(target)


@pytest.mark.parametrize(
    "target",
    ["", ":7946", "a:b", "192.0.2.1:0", "192.0.2.1:65536", "[2001:db8::1]7946", "[]:1", "a:-1"],
)
def test_a_bad_join_target_is_named(target: str) -> None:
    with pytest.raises(ConfigError, match="--join") as caught:
        check_join(target)

    assert repr(target) in str(caught.value)


def test_a_bad_pattern_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--exclude-interfaces '\('"):
        compile_excludes(("^veth", "("))
