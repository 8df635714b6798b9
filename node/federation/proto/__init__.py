"""Machines of the node-to-node protocol without sockets, clocks or files: bytes in, bytes and events out."""
