"""`stentor speaker`: flags and environment into Settings, then the speaker itself."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from speaker.config import (
    GOSSIP_PORT,
    HEALTH_PORT,
    METRICS_PORT,
    SECRET_KEY_PATH,
    ConfigError,
    Settings,
)
from stentor.cli.options import PORT, go_bool, log_level, state_dir
from stentor.version import installed

XDP_MODES = ("auto", "native", "generic", "tc", "userspace")


@click.command()
@click.option(
    "--node-name",
    envvar="METALLB_NODE_NAME",
    metavar="NAME",
    help="Name of this node; with --manifests the default is the host's name.",
)
@click.option(
    "--manifests",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take objects from the YAML files of this directory instead of a Kubernetes API.",
)
@click.option(
    "--join",
    multiple=True,
    metavar="HOST[:PORT]",
    help="A member of the ring; repeatable. InternalIPs of Node manifests are tried too.",
)
@click.option(
    "--ml-bindaddr",
    envvar="METALLB_ML_BIND_ADDR",
    default="0.0.0.0",  # noqa: S104 - the ring is for all of the host's networks
    show_default=True,
    metavar="ADDRESS",
    help='Address of the gossip sockets; "" runs without a ring.',
)
@click.option(
    "--ml-bindport",
    envvar="METALLB_ML_BIND_PORT",
    default=GOSSIP_PORT,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="UDP and TCP port of the ring.",
)
@click.option(
    "--ml-advertise-addr",
    default="",
    metavar="ADDRESS",
    help="Address that other members are told; by default the one that routes towards them.",
)
@click.option(
    "--ml-secret-key-path",
    envvar="METALLB_ML_SECRET_KEY_PATH",
    default=SECRET_KEY_PATH,
    show_default=True,
    metavar="FILE",
    help="Key of the ring, MetalLB's secret or base64:...; at the default path it may be missing.",
)
@go_bool("--ml-wan-config", "Timers for rings with slow links.")
@click.option(
    "--failover",
    type=click.Choice(("beats", "memberlist")),
    default="beats",
    show_default=True,
    help="What finds a dead node: beats in a tenth of a second, or MetalLB's timing alone.",
)
@click.option(
    "--on-stop",
    envvar="STENTOR_ON_STOP",
    type=click.Choice(("leave", "hold")),
    default="leave",
    show_default=True,
    help="SIGTERM hands VIPs over, or has the kernel answer for 30 s until the next speaker.",
)
@click.option(
    "--lb-class",
    default="",
    metavar="CLASS",
    help="Serve Services of this loadBalancerClass only; by default those without one.",
)
@go_bool("--ignore-exclude-lb", "Announce from nodes labelled exclude-from-external-lb too.")
@click.option(
    "--xdp-mode",
    type=click.Choice(XDP_MODES),
    default="auto",
    show_default=True,
    help="Where to answer; auto goes native once a peer has confirmed that answers arrive.",
)
@state_dir
@click.option(
    "--bpffs",
    default="/sys/fs/bpf/stentor",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="BPF pins; a bpf file system is mounted there if it is on none.",
)
@click.option(
    "--bind-vips/--no-bind-vips",
    default=True,
    show_default=True,
    help="Keep held VIPs on lo, so that this host serves them without kube-proxy.",
)
@click.option(
    "--release-grace",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long a VIP stays on lo, unanswered, after a planned move.",
)
@click.option(
    "--manage-sysctls/--no-manage-sysctls",
    default=True,
    show_default=True,
    help="Set arp_announce=2 and arp_ignore=1 on interfaces: no ARP of the kernel for VIPs.",
)
@click.option(
    "--exclude-interfaces",
    multiple=True,
    metavar="REGEX",
    help="Interfaces never to answer on; repeatable; replaces MetalLB's list.",
)
@click.option(
    "--advert-limit",
    default=2000.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="FRAMES/S",
    help="Announcements on one segment; 0 lifts the limit.",
)
@click.option("--port", default=METRICS_PORT, show_default=True, type=PORT, help="/metrics; 0=off.")
@click.option(
    "--health-probe-port",
    default=HEALTH_PORT,
    show_default=True,
    type=PORT,
    help="/healthz and /readyz on loopback; 0 = off.",
)
@log_level
@click.option(
    "--cleanup",
    is_flag=True,
    help="Undo everything a speaker left in the kernel and in --state-dir, then exit.",
)
def speaker(**flags: Any) -> None:
    """
    Answer ARP and NDP for the VIPs of this node, in XDP, and share them with the ring.

    Runs until SIGTERM, which hands every VIP over to another node (see --on-stop). Exit codes: 0
    stopped, 64 wrong flag, 69 port or state directory taken, 70 bug, 71 kernel refuses, 76 node
    name taken, 77 missing capability, 78 a file named by a flag is wrong.
    """
    from speaker import main as speaker_main  # noqa: PLC0415 - not for --help

    try:
        if flags["cleanup"]:
            for line in speaker_main.cleanup(flags["bpffs"], flags["state_dir"]):
                click.echo(line)
            return
        settings = settings_of(flags)
        speaker_main.check_flags(settings)
        speaker_main.check_files(settings)
    except ConfigError as exc:
        raise click.UsageError(str(exc)) from exc
    except speaker_main.FatalError as exc:
        click.echo(f"stentor speaker: {exc}", err=True)
        sys.exit(exc.code)
    speaker_main.run(settings)


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """Turn parsed flags into Settings; raises UsageError."""
    if flags["manifests"] is None:
        raise click.UsageError(
            "--manifests DIR is required: objects from the Kubernetes API come in a later release"
        )
    key_path = str(flags["ml_secret_key_path"])
    if key_path == SECRET_KEY_PATH and not Path(key_path).exists():
        key_path = ""
    return Settings(
        version=installed(),
        node=flags["node_name"] or socket.gethostname(),
        state_dir=str(flags["state_dir"].absolute()),
        bpffs=str(flags["bpffs"].absolute()),
        manifests=str(flags["manifests"].absolute()),
        log_level=flags["log_level"],
        gossip_bind=flags["ml_bindaddr"],
        gossip_port=flags["ml_bindport"],
        gossip_advertise=flags["ml_advertise_addr"],
        gossip_wan=flags["ml_wan_config"],
        gossip_key_path=key_path,
        failover=flags["failover"],
        on_stop=flags["on_stop"],
        join=tuple(flags["join"]),
        xdp_mode=flags["xdp_mode"],
        manage_sysctls=flags["manage_sysctls"],
        exclude_interfaces=tuple(flags["exclude_interfaces"]) or None,
        bind_vips=flags["bind_vips"],
        release_grace_s=flags["release_grace"],
        advert_limit=flags["advert_limit"],
        lb_class=flags["lb_class"],
        ignore_exclude_lb=flags["ignore_exclude_lb"],
        port=flags["port"],
        health_port=flags["health_probe_port"],
    )
