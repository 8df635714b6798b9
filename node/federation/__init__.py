"""Node to node: signed links between domains. The door is reserved; the next milestone builds it."""
