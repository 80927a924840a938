"""`stentor convert --from WHAT FILE...`: older configurations to today's objects."""

import sys
from typing import Any, TextIO

import click
import yaml

from stentor.convert import SOURCES, Conversion, ConvertError

UNUSABLE = 1  # exit code


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Choice(tuple(SOURCES)),
    help="What FILE holds.",
)
@click.option(
    "--namespace",
    metavar="NAME",
    default="metallb-system",
    show_default=True,
    help="Of the objects made; a ConfigMap's own namespace comes first.",
)
@click.argument("file", type=click.File(encoding="utf-8"))
def convert(source: str, namespace: str, file: TextIO) -> None:
    """
    Print the objects that say the same as FILE (- for standard input).

    Every meaning that is lost or changed is a line on standard error. Exit code 1 when FILE cannot
    be converted: then nothing is printed.
    """
    out = Conversion(namespace)
    try:
        SOURCES[source](_documents(file), out)
    except ConvertError as exc:
        click.echo(f"{file.name}: {exc}", err=True)
        sys.exit(UNUSABLE)
    for warning in out.warnings:
        click.echo(f"{file.name}: warning: {warning}", err=True)
    text = yaml.safe_dump_all(out.objects, sort_keys=False, explicit_start=True)
    click.echo(text, nl=False)


def _documents(file: TextIO) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(file) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConvertError(f"is not YAML: {exc}") from exc
