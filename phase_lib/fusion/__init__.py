"""Restart, history, surface, parameters and forcing become one record per land cell."""
