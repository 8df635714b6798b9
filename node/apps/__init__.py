"""First-party apps, each a folder, on the public API of ``node.ext``. None yet."""
