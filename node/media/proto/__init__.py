"""Formats and machines of media: bytes and `now` in, bytes and deadlines out. Pure."""
