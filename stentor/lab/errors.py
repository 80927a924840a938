"""
What can go wrong in a lab.

    LabError     something a person can mend: a wrong name, a missing right, a step that failed
"""


class LabError(Exception):
    """The text says what failed and what would be right."""
