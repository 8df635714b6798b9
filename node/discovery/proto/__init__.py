"""Rules and formats of discovery: what a look-up asks next, whom it believes, what a datagram means. Pure."""
