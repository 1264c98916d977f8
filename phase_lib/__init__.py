"""PHASE spin-up: the library and command line behind the workflow."""

__version__ = "0.1.0"
