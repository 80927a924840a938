"""Errors of the rig: a VM or an image that did not come to be, with what is known of why."""


class ImageError(Exception):
    """An image cannot be built here."""


class VmError(Exception):
    """A VM did not boot, or does not answer."""


class GuestError(Exception):
    """A command or a function in the guest failed."""
