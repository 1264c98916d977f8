"""How a land model is run: a segment goes in, a restart and history come out.

`interface.py` is what a land model must offer; `config/backends.py` is the table of those that there are.
"""
