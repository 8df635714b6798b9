"""The composition root: every object of a node is made here, in the order of the layers, and nowhere else.

`open_services` gives what works without sockets: the command line uses it when no node runs. `build` adds the edges.
`serve` is the whole life of ``startalk run``. The simulation builds its nodes with the same functions and its own clock,
entropy and loop.
"""

from node.main.edges import ADMIN_SOCKET, KEYS, TLS_FOLDER, Node, build, origins
from node.main.inside import Services, open_services
from node.main.life import Started, serve

__all__ = [
    "ADMIN_SOCKET",
    "KEYS",
    "TLS_FOLDER",
    "Node",
    "Services",
    "Started",
    "build",
    "open_services",
    "origins",
    "serve",
]
