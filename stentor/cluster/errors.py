"""
What can go wrong between us and where the objects live.

    ClusterError
      ApplyError       status could not be written; worth another try
      ApiError         the API server refuses, or does not answer
      KubeconfigError  how to reach the API server is not said right

Bad objects are no errors here but findings: they never stop what is good.
"""

from http import HTTPStatus


class ClusterError(Exception):
    """Anything this package raises on purpose."""


class ApplyError(ClusterError):
    """A status that could not be written; the message holds the path and the cause."""


class KubeconfigError(ClusterError):
    """A kubeconfig, or a pod's own credentials, that cannot be used; the message names it."""


class ApiError(ClusterError):
    """
    A request that came to nothing.

    `status` is HTTP's, 0 where there was no answer; `reason` is that of metav1.Status, such as
    "AlreadyExists".
    """

    def __init__(self, path: str, status: int, reason: str, message: str) -> None:
        """`path` is what was asked for."""
        super().__init__(
            f"{path}: {status} {reason}: {message}" if status else f"{path}: {message}"
        )
        self.path = path
        self.status = status
        self.reason = reason

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else was faster: read again, and decide anew."""
        return self.status == HTTPStatus.CONFLICT

    @property
    def is_gone(self) -> bool:
        """Whether the server has forgotten the version that was asked for: list again."""
        return self.status == HTTPStatus.GONE
