"""Is a restart sound? ELM accepts most damage without a message, so every value is checked here.

With an error, ELM would run on and be wrong; a note is normal in an AD file, or ELM computes the value
again. Variables are read in blocks of rows, so memory does not grow with the file.

Each check is one function with its entry (code, severity, sentence, limit, source) in the file of its
subject; `phase audit --explain CODE` and docs/audit.md print its docstring.

Ratios show a file that is flagged normal while its pools are still in AD space: soil4 : soil3 and dead : live
wood. They also show a file that is flagged AD while its pools are in normal space. They cannot show one
forgotten pool whose factor is smaller than its normal variation from place to place: soil3 (factor 2) and CWD
(1.4). Impossible stocks of soil show that an unfinished mean scalar was used to leave AD; SOM that its litter
does not feed shows that all SOM was multiplied.

Where no parameter file is given, the standard values hold (C:N 12, 12, 10, 10; C:P 360, 360, 500, 500).
"""
