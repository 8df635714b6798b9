"""Startalk Node: a whole instant-messaging domain in one process."""

__version__ = "0.1.0"
