"""What can be known to be wrong before anything runs.

The headers of all inputs are read and compared: cells, cover, soils, spin-up states, dates, forcing, the
drift of the targets, the protocols of training and target, and the room on the disk.
"""
