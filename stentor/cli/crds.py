"""`stentor crds`: the CustomResourceDefinitions of this version."""

from pathlib import Path

import click

from crds.generate import FILES, render


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a file for each kind into DIR instead of printing one YAML stream.",
)
@click.option(
    "--only",
    "kinds",
    metavar="KIND",
    multiple=True,
    type=click.Choice(tuple(FILES)),
    help="This kind alone; repeatable.",
)
@click.option(
    "--namespace",
    metavar="NAME",
    default="metallb-system",
    show_default=True,
    help="Where the webhook's Service is, which converts BGPPeer between its versions.",
)
def crds(out: Path | None, kinds: tuple[str, ...], namespace: str) -> None:
    """
    Print the CustomResourceDefinitions, for `kubectl apply --server-side -f -`.

    They are generated from the same models that `stentor validate` and the webhooks check with.
    """
    chosen = kinds or tuple(FILES)
    if out is None:
        click.echo("---\n".join(render(kind, namespace=namespace) for kind in chosen), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for kind in chosen:
        (out / FILES[kind]).write_text(render(kind, namespace=namespace), encoding="utf-8")
        click.echo(out / FILES[kind])
