"""Calls: the node relays audio and video itself. The door is reserved; a later milestone builds it."""
