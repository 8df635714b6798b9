"""A small asynchronous client of a node, for bots, tests and load: the device protocol with an outbox, and the HTTP API.

    async with Client.connect("https://casa.example:8443", token=token) as me:
        async for event in me.events():
            ...

The only names to import from here are below; docs/howto/echo-bot.md shows a whole bot.
"""

from node.client.api import Api
from node.client.calling import Call, Calls
from node.client.client import Client
from node.client.news import (
    CallEnded,
    CardChanged,
    Connected,
    Disconnected,
    Entry,
    Event,
    Named,
    PresenceChanged,
    QualityHeard,
    Rang,
    ReceiptMoved,
    RosterChanged,
    SpeakersChanged,
    TypingShown,
)
from node.client.room import Room

__all__ = [
    "Api",
    "Call",
    "CallEnded",
    "Calls",
    "CardChanged",
    "Client",
    "Connected",
    "Disconnected",
    "Entry",
    "Event",
    "Named",
    "PresenceChanged",
    "QualityHeard",
    "Rang",
    "ReceiptMoved",
    "Room",
    "RosterChanged",
    "SpeakersChanged",
    "TypingShown",
]
