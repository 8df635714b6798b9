"""The operating system behind small doors: clock, entropy, network, configuration, lifecycle."""
