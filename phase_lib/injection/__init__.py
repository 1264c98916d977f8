"""Predicted pools -> a restart that ELM accepts."""
