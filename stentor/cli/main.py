"""The `stentor` command. Each subcommand is imported when it is asked for."""

import importlib

import click

from stentor.exits import ExitCode
from stentor.version import installed

click.UsageError.exit_code = ExitCode.USAGE  # sysexits(3), as every process of ours

SUBCOMMANDS = {
    "controller": ("stentor.cli.controller", "controller", "Serve the webhooks of a cluster."),
    "convert": ("stentor.cli.convert", "convert", "Turn older configurations into objects."),
    "crds": ("stentor.cli.crds", "crds", "Print the CustomResourceDefinitions."),
    "lab": ("stentor.lab.cli", "lab", "Nodes, a client and a router in network namespaces."),
    "speaker": ("stentor.cli.speaker", "speaker", "Announce VIPs from this node."),
    "validate": ("stentor.cli.validate", "validate", "Check manifests before they are applied."),
    "status": ("stentor.cli.status", "status", "Show what the speaker of this node does."),
}


class LazyGroup(click.Group):
    """Lists subcommands without importing them, so that `stentor status` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of `cmd_name` and return its command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, attribute, _ = SUBCOMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed(), prog_name="stentor")
def main() -> None:
    """Announce Kubernetes LoadBalancer addresses from bare-metal nodes, answered in XDP."""


if __name__ == "__main__":
    main()
