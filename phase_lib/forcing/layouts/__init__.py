"""Layouts of forcing files by name: a file here holds one, a `phase_lib.forcing.points.Record`."""
