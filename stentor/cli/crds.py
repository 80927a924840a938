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
    "--webhook-namespace",
    metavar="NAME",
    default="",
    help="Have BGPPeer converted between its versions by the webhook whose Service is there.",
)
def crds(out: Path | None, kinds: tuple[str, ...], webhook_namespace: str) -> None:
    """
    Print the CustomResourceDefinitions, for `kubectl apply --server-side -f -`.

    They are generated from the same models that `stentor validate` and the webhooks check with.
    """
    chosen = kinds or tuple(FILES)
    if out is None:
        texts = [render(kind, webhook_namespace=webhook_namespace) for kind in chosen]
        click.echo("---\n".join(texts), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for kind in chosen:
        text = render(kind, webhook_namespace=webhook_namespace)
        (out / FILES[kind]).write_text(text, encoding="utf-8")
        click.echo(out / FILES[kind])
