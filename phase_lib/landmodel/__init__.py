"""How a land model is run: a segment goes in, a restart and history come out."""
