"""How a land model is run: a segment goes in, a restart and history come out.

`interface.py` is what a land model must offer; `backends/` holds those of this library.
"""
