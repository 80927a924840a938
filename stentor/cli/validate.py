"""`stentor validate DIR`: read manifests as the speaker would, and say what is wrong with them."""

import sys
from pathlib import Path

import click

from speaker.exits import ExitCode
from stentor.cluster.findings import Severity
from stentor.cluster.manifests import validate_directory


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def validate(directory: Path) -> None:
    """
    Check the manifests below DIRECTORY: file, line, object, field, and what would be right.

    Exit code 78 when there is an error; warnings alone are fine.
    """
    findings = validate_directory(directory)
    for finding in findings:
        click.echo(str(finding))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    click.echo(f"{errors} errors, {len(findings) - errors} warnings", err=True)
    sys.exit(ExitCode.CONFIG if errors else ExitCode.OK)
