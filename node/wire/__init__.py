"""Bytes <-> types. Everything that leaves or enters the process is parsed here, once, with its limits."""
