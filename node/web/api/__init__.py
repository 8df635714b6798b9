"""The HTTP API ``/api/v1``: one file for each noun, handlers of about ten lines."""
