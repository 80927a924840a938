"""The command line: flags as MetalLB spells them, and the page of `stentor status`."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from speaker.config import Settings
from speaker.herald import link
from stentor.cli.main import main
from stentor.cli.speaker import settings_of, speaker
from stentor.cli.status import render
from stentor.exits import ExitCode


def settings(tmp_path: Path, *arguments: str, **environment: str) -> Settings:
    """Settings of a command line, without running it."""
    found: dict[str, Any] = {}
    with click.Context(speaker, auto_envvar_prefix=None) as context:
        runner = CliRunner(env=environment)
        with runner.isolation(env=environment):
            speaker.parse_args(context, ["--manifests", str(tmp_path), *arguments])
        found.update(context.params)
    return settings_of(found)


def test_defaults_are_metallbs(tmp_path: Path) -> None:
    made = settings(tmp_path)

    assert (made.gossip_port, made.port, made.health_port) == (7946, 9120, 17472)
    assert (made.log_level, made.lb_class, made.ignore_exclude_lb) == ("info", "", False)
    assert (made.bind_vips, made.xdp_mode, made.exclude_interfaces) == (True, "auto", None)
    assert made.node


@pytest.mark.parametrize(
    ("environment", "field", "value"),
    [
        ({"METALLB_NODE_NAME": "n7"}, "node", "n7"),
        ({"METALLB_ML_BIND_ADDR": "192.0.2.1"}, "gossip_bind", "192.0.2.1"),
        ({"METALLB_ML_BIND_PORT": "7000"}, "gossip_port", 7000),
        ({"METALLB_ML_SECRET_KEY_PATH": "/etc/key"}, "gossip_key_path", "/etc/key"),
    ],
)
def test_metallbs_variables_are_read(
    tmp_path: Path, environment: dict[str, str], field: str, value: object
) -> None:
    assert getattr(settings(tmp_path, **environment), field) == value


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("--ml-wan-config",), True),
        (("--ml-wan-config=true",), True),
        (("--ml-wan-config=false",), False),
        ((), False),
    ],
)
def test_a_bool_may_be_written_as_go_programs_have_it(
    tmp_path: Path, arguments: tuple[str, ...], value: bool
) -> None:
    assert settings(tmp_path, *arguments).gossip_wan is value


def test_an_empty_bind_address_runs_without_a_ring(tmp_path: Path) -> None:
    assert settings(tmp_path, "--ml-bindaddr", "").gossip_bind == ""


def test_join_is_repeatable(tmp_path: Path) -> None:
    made = settings(tmp_path, "--join", "192.0.2.2", "--join", "[2001:db8::2]:7000")

    assert made.join == ("192.0.2.2", "[2001:db8::2]:7000")


def test_directories_are_made_absolute(tmp_path: Path) -> None:
    """Children and later commands may have another working directory."""
    assert settings(tmp_path, "--state-dir", "here").state_dir == str(Path.cwd() / "here")


def test_a_wrong_flag_ends_with_ex_usage() -> None:
    done = CliRunner().invoke(main, ["speaker", "--frobnicate"])

    assert done.exit_code == ExitCode.USAGE


def test_the_commands_are_listed_without_being_loaded() -> None:
    done = CliRunner().invoke(main, ["--help"])

    assert done.exit_code == 0
    assert all(name in done.output for name in ("lab", "speaker", "status"))


def test_status_shows_vips_interfaces_and_members() -> None:
    view = link.View(
        "n1",
        1,
        4,
        started=True,
        agent_silent=True,
        seats=(link.SeatView("192.0.2.100", "n2", "elsewhere", "held_by_peer"),),
        members=(link.Member("n2", "192.0.2.2:7946", "alive"),),
        attachments=(link.AttachmentView("eth0", 2, "generic", "rung_unproven"),),
        warnings=("interface eth7 is missing",),
    )
    counters = link.Counters((link.VipCounters("192.0.2.100", requests=17),))

    text = render(view, counters)

    assert "node n1: started, agent silent, plan 4" in text
    assert "warning: interface eth7 is missing" in text
    for row in (
        ["192.0.2.100", "n2", "elsewhere", "held_by_peer"],
        ["eth0", "generic", "rung_unproven"],
        ["n2", "192.0.2.2:7946", "alive", "yes"],
        ["192.0.2.100", "17", "0", "0", "0", "0", "0"],
    ):
        assert row in [line.split() for line in text.splitlines()]


def test_status_tells_why_a_stop_would_not_hold() -> None:
    view = link.View("n1", 1, 0, started=True, agent_silent=False, hold_refusal="unproven")

    assert "a stop would hand over: unproven" in render(view, None).splitlines()


def test_status_of_an_empty_node_says_none() -> None:
    text = render(link.View("n1", 1, 0, started=False, agent_silent=False), None)

    assert "starting" in text
    assert "VIP: none" in text
