"""Calls: the node relays audio and video itself, packet by packet, in processes of their own (docs/spec/media.md)."""
