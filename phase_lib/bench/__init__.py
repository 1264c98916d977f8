"""Benchmarks: speed and memory, printed as JSON."""
