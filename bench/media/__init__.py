"""The relay of calls under load, beside aiortc's MediaRelay and Janus. See bench/media/__main__.py."""
