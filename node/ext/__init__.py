"""The public API for apps (bots, plug-ins). Empty until the first app needs it; the layer is reserved."""
