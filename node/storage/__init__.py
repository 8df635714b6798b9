"""The only SQL. One writer with group commit, read-only views, forward-only migrations."""
