"""The rules of the domain, as plain functions over frozen values. No I/O, no clock, no randomness."""
