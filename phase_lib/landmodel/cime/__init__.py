"""Real ELM through CIME: cases, their XML and namelists, segments in them, and the checks before and after.

All commands are those of a case directory, run one by one (`case.Case`). A domain has one base case, which is
built once and never run; each run of the land model is a clone of it that shares its executable. Before a
segment everything it depends on is set anew in its clone, so that no earlier try can show. Products leave the
run directory at the end of a segment, together with the set of files from which the next one continues.
"""
