"""The version of this installation."""

from importlib import metadata


def installed() -> str:
    """Return the version of the installed package; of a bare source tree "0+source"."""
    try:
        return metadata.version("stentor")
    except metadata.PackageNotFoundError:
        return "0+source"
