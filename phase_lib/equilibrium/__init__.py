"""Drift, criteria, verdict: is a run of the land model in equilibrium?"""
