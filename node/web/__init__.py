"""Browsers, devices and bots: listeners, the device socket, the HTTP API and the web UI's files."""
