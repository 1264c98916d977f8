"""Land models by name: a file here is a land model of this library, see `interface.py`."""
