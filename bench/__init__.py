"""Benchmarks: a load generator and the figures it prints. Never pass or fail on time (`make bench`)."""
