"""What takes Snakemake seconds before it reads a Snakefile: imports, and hashes of the library's sources."""

from __future__ import annotations

from pathlib import Path

import snakemake.cli  # noqa: F401

import phase_lib
import phase_lib.cluster.engine
import phase_lib.landmodel.planning
from phase_lib.base.provenance import code_hash

LIBRARY = Path(phase_lib.__file__).parent
code_hash(*(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").is_file()))
