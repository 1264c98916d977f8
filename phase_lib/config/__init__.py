"""Typed configuration: one model per section; unknown keys are errors."""
