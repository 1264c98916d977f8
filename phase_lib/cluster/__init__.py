"""Batch systems: who works on a run, what a killed run left, and what Snakemake hides."""
