"""What takes Snakemake seconds before it plans: imports, its options, and hashes of the sources."""

from __future__ import annotations

from pathlib import Path

import smart_open  # noqa: F401
import snakemake.cli

import phase_lib
import phase_lib.cluster.engine
import phase_lib.cluster.runs
import phase_lib.config.loading
import phase_lib.forcing.layouts.datm
import phase_lib.landmodel.planning
from phase_lib.base.provenance import code_hash

LIBRARY = Path(phase_lib.__file__).parent
snakemake.cli.get_argument_parser()  # loads the plugins
code_hash(*(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").is_file()))
