"""`stentor validate PATH...`: what is wrong with manifests, as the webhooks and speakers see it."""

import sys

import click
import msgspec

from crds.rules import Backend, Options
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.lint import lint

FOUND, UNREADABLE = 1, 2  # exit codes


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--bgp-backend",
    type=click.Choice([str(backend) for backend in Backend]),
    help="Refuse what this backend cannot do, too.",
)
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one a finding.")
def validate(paths: tuple[str, ...], bgp_backend: str | None, as_json: bool) -> None:
    """
    Check manifests: files, directories, or - for standard input.

    What a cluster has makes for more findings: `kubectl get nodes,servicecidrs -o yaml` beside
    pools tells of VIPs that are addresses of nodes, pods or cluster IPs.

    A line a finding: file, line, object, field, and what would be right. Exit code 1 when there is
    an error, 2 when a path cannot be read; warnings alone are fine.
    """
    backend = None if bgp_backend is None else Backend(bgp_backend)
    findings = lint(paths, Options(backend=backend))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(list(map(_plain, findings)))))
    else:
        for finding in findings:
            click.echo(str(finding))
    errors = [each for each in findings if each.severity is Severity.ERROR]
    click.echo(f"{len(errors)} errors, {len(findings) - len(errors)} warnings", err=True)
    if any(each.cause is Cause.UNREADABLE for each in errors):
        sys.exit(UNREADABLE)
    sys.exit(FOUND if errors else 0)


def _plain(finding: Finding) -> dict[str, str | int]:
    return {
        "file": finding.file,
        "line": finding.line,
        "object": finding.object,
        "field": finding.field,
        "value": finding.value,
        "message": finding.message,
        "severity": str(finding.severity),
        "cause": str(finding.cause),
    }
