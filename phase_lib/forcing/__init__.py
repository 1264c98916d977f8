"""Atmospheric forcing in any layout that ELM runs with, reduced to monthly means on the cells of a domain.

A cell takes the nearest forcing point that has data. The means are written in pieces, of any variables and
years, which are read together as one cycle.
"""
