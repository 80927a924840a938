"""`stentor lab`: nodes, a client and a router on one machine, in network namespaces."""

import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from stentor.lab.errors import LabError
from stentor.lab.lab import Lab, Target, require_root
from stentor.lab.topology import (
    DEFAULT_DIR,
    DEFAULT_PREFIX,
    MAX_NODES,
    Topology,
    is_lab,
    load,
)

P = ParamSpec("P")


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """End a command with a sentence and status 1 where it raises LabError."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except LabError as exc:
            click.echo(f"stentor lab: {exc}", err=True)
            sys.exit(1)

    return guarded


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIR,
    show_default=True,
    help="Files of the lab; a second lab at the same time needs another one, and a --prefix.",
)
@click.pass_context
def lab(context: click.Context, directory: Path) -> None:
    """Run nodes, a client and an upstream router as network namespaces on a bridge. Needs root."""
    context.obj = directory.absolute()


@lab.command()
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=3, show_default=True)
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="Of the namespaces.")
@click.option("--no-router", is_flag=True, help="No default gateway.")
@click.option(
    "--xdp-mode",
    type=click.Choice(["auto", "native", "generic", "tc", "userspace"]),
    default="native",
    show_default=True,
    help="Given to the speakers.",
)
@click.pass_obj
@plainly
def up(directory: Path, nodes: int, prefix: str, xdp_mode: str, *, no_router: bool) -> None:
    """Build the lab and start what does not run; twice is as good as once."""
    topology = Topology(nodes, prefix, directory, has_router=not no_router)
    if is_lab(directory) and load(directory) != topology:
        raise LabError(f"another lab is in {directory}: run `stentor lab down` first")
    running = Lab(topology, xdp_mode)
    running.up()
    names = " ".join(host.namespace for host in running.topology.hosts)
    click.echo(f"up: {names}\nlogs: {directory}/n1/speaker.log\nsee `stentor lab status`")


@lab.command()
@click.option("--prefix", default=DEFAULT_PREFIX, help="For a lab whose files are gone.")
@click.pass_obj
@plainly
def down(directory: Path, prefix: str) -> None:
    """Stop and remove everything, also what a crash left behind."""
    try:
        topology = load(directory)
    except LabError:  # gone or damaged: its names are still known by their prefix
        topology = Topology(prefix=prefix, directory=directory)
    Lab(topology).down()


@lab.command()
@click.pass_obj
@plainly
def status(directory: Path) -> None:
    """Show who holds which VIP by each node's view, the rungs and the counters."""
    from stentor.lab import views  # noqa: PLC0415 - asyncio and the link, for this command alone

    require_root()
    running = Lab(load(directory))
    click.echo(views.render(views.node_table(running)))
    click.echo()
    click.echo(views.render(views.vip_table(running)))


@lab.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
@plainly
def exec_(directory: Path, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST (n1, n2, ..., client or router) and end with its exit status."""
    require_root()
    namespace = load(directory).host(host).namespace
    sys.exit(subprocess.call(["ip", "netns", "exec", namespace, *command]))


@lab.command()
@click.argument("node")
@click.argument("target", type=click.Choice([str(target) for target in Target]), default="host")
@click.pass_obj
@plainly
def kill(directory: Path, node: str, target: str) -> None:
    """SIGKILL a process of NODE's speaker, or by default the whole host and its link."""
    running = Lab(load(directory))
    running.kill(running.topology.node(node), Target(target))


@lab.command()
@click.argument("node")
@click.option("--silent", is_flag=True, help="Keep the carrier: only the switch stops forwarding.")
@click.pass_obj
@plainly
def cut(directory: Path, node: str, *, silent: bool) -> None:
    """Pull the cable of NODE."""
    running = Lab(load(directory))
    running.cut(running.topology.node(node), silently=silent)


@lab.command()
@click.argument("node")
@click.pass_obj
@plainly
def heal(directory: Path, node: str) -> None:
    """Plug NODE in again and start what was killed there."""
    running = Lab(load(directory))
    running.heal(running.topology.node(node))


@lab.command()
@click.option("--nodes", type=click.IntRange(2, MAX_NODES), default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--prefix", default="st-demo", show_default=True, help="Of the namespaces.")
@plainly
def demo(nodes: int, json_file: Path | None, prefix: str) -> None:
    """Tell the story of a VIP unattended, in under a minute; exit status 1 if a step failed."""
    from stentor.lab.demo import run  # noqa: PLC0415 - for this command alone

    options: dict[str, Any] = {"count": nodes, "prefix": prefix}
    sys.exit(run(Topology(directory=Path(f"/run/{prefix}"), **options), json_file))


@lab.command()
@click.option(
    "--trials",
    default="5",
    show_default=True,
    metavar="N|FAULT=N,...",
    help="N host deaths and killed heralds, a fifth of it of the other faults, a tenth of rolling"
    " restarts and upgrades; or so many of each fault named.",
)
@click.option(
    "--faults",
    help="Some, with commas, of host-death, herald-sigkill, herald-sigstop, agent-sigkill,"
    " link-cut, planned-leave, rolling-restart, rolling-upgrade.  [default: all]",
)
@click.option("--nodes", default="3,10", show_default=True, help="Sizes of labs.")
@click.option("--load", default="0,12", show_default=True, help="Busy loops beside the trials.")
@click.option(
    "--detect", help="beats or memberlist; of the second a tenth.  [default: beats,memberlist]"
)
@click.option("--no-router", is_flag=True, help="No gateway, which two nodes have for a witness.")
@click.option("--minutes", type=click.FloatRange(0.1), help="Stop before a trial that ends later.")
@click.option("--resume", is_flag=True, help="Do only what the file of --json does not have.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep there what the nodes logged in trials that went wrong.",
)
@click.option("--prefix", default="st-chaos", show_default=True, help="Of the namespaces.")
@plainly
def chaos(json_file: Path | None, **flags: Any) -> None:
    """Hit nodes again and again, and show how long the segment and a client felt it."""
    from stentor.lab.chaos import command  # noqa: PLC0415 - for this command alone

    sys.exit(command(json_file, **flags))


@lab.command()
@click.option("--minutes", type=click.FloatRange(0.1), default=20.0, show_default=True)
@click.option("--nodes", type=click.IntRange(2, MAX_NODES), default=3, show_default=True)
@click.option(
    "--load", type=click.IntRange(0), default=12, show_default=True, help="Busy loops beside it."
)
@click.option(
    "--loss",
    type=click.FloatRange(0.0, 100.0),
    default=1.0,
    show_default=True,
    help="Percent of all frames on the segment that are lost, at random.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep there what the nodes logged.",
)
@click.option("--prefix", default="st-watch", show_default=True, help="Of the namespaces.")
@plainly
def watch(json_file: Path | None, **flags: Any) -> None:
    """Leave a busy lab in peace, and count failovers that nothing called for: 0, or status 1."""
    from stentor.lab.watch import command  # noqa: PLC0415 - for this command alone

    sys.exit(command(json_file, **flags))


@lab.group()
def cluster() -> None:
    """Run a real etcd and kube-apiserver on loopback."""


@cluster.command("up")
@click.option("--webhooks", is_flag=True, help="With our kinds, and a controller that judges them.")
@click.pass_obj
@plainly
def cluster_up(directory: Path, *, webhooks: bool) -> None:
    """Start them, and print how kubectl finds them."""
    from stentor.lab.control_plane import ControlPlane  # noqa: PLC0415 - for these commands alone

    plane = ControlPlane(directory / "cluster")
    plane.up()
    if webhooks:
        from stentor.lab.webhooks import Webhooks  # noqa: PLC0415

        beside = Webhooks(plane)
        beside.up()
        click.echo(f"webhooks: {beside.url}, for objects in namespace {beside.namespace}")
    click.echo(f"up: {plane.url}\nexport KUBECONFIG={plane.kubeconfig}")
    if not webhooks:
        click.echo("our kinds: stentor crds | kubectl apply --server-side -f -")


@cluster.command("down")
@click.pass_obj
@plainly
def cluster_down(directory: Path) -> None:
    """Stop them and remove their files."""
    from stentor.lab.control_plane import ControlPlane  # noqa: PLC0415

    ControlPlane(directory / "cluster").down()
