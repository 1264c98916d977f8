"""Is a restart sound? ELM accepts most damage without a message, so every value is checked here.

Errors are what ELM would carry on with and be wrong; notes are what an AD file has by nature or what
ELM computes again. Variables are streamed in blocks of rows, so memory does not grow with the file.

Each check is one function with its entry (code, severity, sentence, limit, source) in the file of its
subject; its docstring is what `phase audit --explain CODE` and docs/audit.md print.

A file flagged normal whose pools are still in AD space shows by ratios: soil4 : soil3 and dead : live
wood; so does one flagged AD whose pools are in normal space already. It cannot show by value in a pool that
was forgotten alone where these ratios stay in their range: soil3 (its factor is 2) and CWD (1.4), whose
normal stocks vary more than that from place to place. Leaving AD by an unfinished mean scalar shows by
stocks that no soil holds, a multiple of all SOM by SOM that its litter does not feed.

Where no parameter file is given, the standard values hold (C:N 12, 12, 10, 10; C:P 360, 360, 500, 500).
"""
