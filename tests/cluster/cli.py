"""Subcommands that read standard input."""

from click.testing import CliRunner

from stentor.cli.main import main


def stentor(*arguments: str, stdin: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `stentor ARGUMENTS -`."""
    result = CliRunner().invoke(main, [*arguments, "-"], input=stdin)
    return result.exit_code, result.stdout, result.stderr
