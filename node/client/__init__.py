"""An async device client for bots, tests, load and the command line."""
