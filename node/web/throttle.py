"""How fast the API may be asked: per session when signed in, else per address (IPv6 by /64). Rates are live settings."""

from __future__ import annotations

from node.runtime.clock import Clock
from node.services.actor import Actor
from node.services.budget import Budget, Rates
from node.services.login_throttle import network_of
from node.web.auth import Peer


class ApiThrottle:
    """Charges each request before its work. The admin socket is free."""

    def __init__(self, *, clock: Clock, rates: Rates) -> None:
        self._sessions = Budget(clock=clock, rates=rates, per_s="api_per_session_per_s", burst="api_per_session_burst")
        self._addresses = Budget(clock=clock, rates=rates, per_s="api_per_address_per_s", burst="api_per_address_burst")

    def charge_session(self, actor: Actor) -> None:
        """Raises Rejected with `rate_limited`."""
        if actor.device_pk:
            self._sessions.spend(actor.device_pk)

    def charge_address(self, peer: Peer) -> None:
        """Raises Rejected with `rate_limited`."""
        if peer.listener != "admin":
            self._addresses.spend(network_of(peer.address))
