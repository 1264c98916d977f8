"""What can be known to be wrong before anything runs.

The headers of all inputs are read and held against each other: cells, cover, soils, spin-up states, dates,
forcing, the drift of the targets, the protocols of training and target, and the room on the disk.
"""

from phase_lib.preflight.check import check_inputs
from phase_lib.preflight.inputs import files_by_hand
from phase_lib.preflight.report import Report

__all__ = ["Report", "check_inputs", "files_by_hand"]
