"""
What goes wrong between us and the kernel.

    ApplyError          the kernel, bpffs or a privilege refuses; the text says what would be right
    └── HookTaken       somebody else's program stands on the hook: next rung
"""


class ApplyError(Exception):
    """The world refuses: retried by the caller, shown to the operator with its cause."""


class HookTaken(ApplyError):  # noqa: N818 - a fact about the hook, not a failure of ours
    """A foreign program is attached where ours would go; `program_id` is its id, 0 if unknown."""

    def __init__(self, message: str, program_id: int = 0) -> None:
        super().__init__(message)
        self.program_id = program_id
