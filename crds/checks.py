"""From a function that reads a text to a check of pydantic's that refuses what it cannot read."""

from collections.abc import Callable

from pydantic_core import PydanticCustomError


def readable_by(read: Callable[[str], object], code: str) -> Callable[[str], str]:
    """
    A check that lets pass, unchanged, the texts that `read` takes.

    Where it raises ValueError, whose text says what would be right, the error has type `code`.
    """

    def check(text: str) -> str:
        try:
            read(text)
        except ValueError as exc:
            raise PydanticCustomError(code, "{why}", {"why": str(exc)}) from exc
        return text

    return check
