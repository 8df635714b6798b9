"""Use cases, one door each, for every edge alike. Never knows aiohttp."""
