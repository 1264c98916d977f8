"""What ELM files are: formats, pools, subgrid, calendar and spin-up semantics. No workflow code."""
