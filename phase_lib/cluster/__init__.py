"""Batch systems: locks on a run, what a killed run left, and the private names of Snakemake."""
