"""How Sphinx builds this manual. Warnings are errors (`make docs`)."""

from __future__ import annotations

from node import __version__

project = "Startalk Node"
author = "The Startalk Node contributors"
copyright = "2026, the Startalk Node contributors"
release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nitpicky = True
suppress_warnings: list[str] = []
