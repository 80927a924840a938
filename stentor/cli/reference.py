"""`python -m stentor.cli.reference`: docs/reference/cli.md, from the commands themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import click

from stentor import exits
from stentor.cli.main import main

HEAD = """# The command line

Written by `python -m stentor.cli.reference`; a test compares the two.
"""


def markdown() -> str:
    """Return the page: every command with its flags, variables and defaults."""
    context = click.Context(main, info_name="stentor")
    return "\n".join([HEAD, *_command(main, context), *_exit_codes()])


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`\n"
    yield inspect.cleandoc(command.help or "").replace("\n\n", "\n\n") + "\n"
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    described = [option for option in options if "--help" not in option.opts]
    if described:
        yield "| Flag | Variable | Default | Meaning |"
        yield "|---|---|---|---|"
        yield from (_option(option, context) for option in described)
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command(child, click.Context(child, parent=context, info_name=name))


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| Code | Name |\n|---|---|"
    yield from (f"| {code.value} | {code.name.lower()} |" for code in exits.ExitCode)
    _, _, what_follows = inspect.cleandoc(exits.__doc__ or "").rpartition("\n\n")
    yield f"\n{what_follows}"
    yield "The process that found the fault says in its log what would be right.\n"


def _option(option: click.Option, context: click.Context) -> str:
    names = " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else option.make_metavar(context)
    variable = f"`{option.envvar}`" if option.envvar else ""
    meaning = (option.help or "").replace("|", "\\|")
    takes = takes.replace("|", "\\|")
    default = _default(option.to_info_dict().get("default"))
    return f"| {names} {takes} | {variable} | {default} | {meaning} |"


def _default(value: Any) -> str:
    if value is None or value is False or value == () or "UNSET" in repr(value):
        return ""
    if value is True:
        return "on"
    return f"`{value}`" if str(value) else '`""`'


if __name__ == "__main__":
    print(markdown(), end="")
