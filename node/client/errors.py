"""How a client says no, beside the node's own refusals (`Rejected`)."""

from __future__ import annotations

from node.base.errors import LocalError, RemoteError


class Lost(RemoteError):
    """The connection is gone; connecting again may help."""


class SignedOut(LocalError):
    """The node does not accept this session (any more); connecting again does not help."""


class Untrusted(LocalError):
    """The node's certificate is not one we accept; give its file as `ca`."""
