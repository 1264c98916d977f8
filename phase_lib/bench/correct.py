"""Speed of the steady state of soil columns, printed as JSON by `phase bench correct`."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch

from phase_lib.base.provenance import code_version
from phase_lib.elm.soil_grid import NLEVDECOMP, ZSOI
from phase_lib.elm.steady_state import Budget, steady_state
from phase_lib.elm.variables import SOIL_POOLS, TRANSITIONS
from phase_lib.equilibrium.correction import CELLS_AT_A_TIME

#: Rates of the pools at the surface, yr-1, and conductance of an interface, m yr-1.
_RATES = (50.0, 8.0, 2.0, 0.3, 6.0, 1.5, 0.1, 0.01)
_CONDUCTANCE = 1.0e-3
#: Part of a pool's loss that is passed on.
_PASSED = 0.4


def bench_correct(columns: int, threads: int) -> dict[str, Any]:
    """Solves the steady state of random soil columns, as many at a time as a correction does.

    Args:
        columns: number of soil columns.
        threads: of torch.

    Returns:
        Seconds of the solves alone, columns per second, peak memory in MiB.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    seconds = 0.0
    for first in range(0, columns, CELLS_AT_A_TIME):
        budget = _random_budget(min(CELLS_AT_A_TIME, columns - first), generator)
        stays = torch.zeros_like(budget.state, dtype=torch.bool)
        begin = time.perf_counter()
        steady_state(budget, stays)
        seconds += time.perf_counter() - begin
    torch.set_num_threads(before)
    return {
        "benchmark": "correct",
        "columns": columns,
        "threads": threads,
        "seconds": round(seconds, 2),
        "columns_per_second": round(columns / seconds, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1),
        "code_version": code_version(),
    }


def _random_budget(columns: int, generator: torch.Generator) -> Budget:
    """A budget with rates that fall with depth."""

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, NLEVDECOMP, columns, generator=generator, dtype=torch.float64)

    depth = torch.from_numpy(ZSOI[:NLEVDECOMP])[:, None]
    state = 1.0 + 5000.0 * random(len(SOIL_POOLS))
    loss = torch.tensor(_RATES, dtype=torch.float64)[:, None, None] * torch.exp(-depth) * state
    names = [pool.name for pool in SOIL_POOLS]
    transfers = torch.stack([_PASSED * loss[names.index(donor)] for donor, _ in TRANSITIONS])
    return Budget(
        state=state,
        change=random(len(SOIL_POOLS)),
        transfers=transfers,
        respired=(1.0 - _PASSED) * loss,
        mixed=torch.zeros_like(state),
        conductance=torch.full((NLEVDECOMP - 1, columns), _CONDUCTANCE, dtype=torch.float64),
    )
