"""Decomposition along the CTC cascade and vertical mixing.

Each month the pools lose the share 1 - exp(-k xi dt) of their content, the loss goes to the next pool
or to the air, N and P follow, and backward Euler mixes the pools. Litter enters at the end of the
month. Losses are limited by mineral N and P where the transition immobilises (relative demand).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phase_lib.elm.mixing import conductance
from phase_lib.elm.soil_grid import DZSOI, NLEVDECOMP
from phase_lib.elm.variables import SOIL_POOL_INDEX, SOIL_POOLS
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.state import C, N, P

_I = SOIL_POOL_INDEX
#: Respired shares of litr1 -> soil1, litr2 -> soil2, litr3 -> soil3 and soil1 -> soil2, soil2 -> soil3,
#: soil3 -> soil4.
_LITTER_RESPIRED, _SOM_RESPIRED = ("rf_l1s1", "rf_l2s2", "rf_l3s3"), ("rf_s1s2", "rf_s2s3", "rf_s3s4")
_LITTER, _CWD, _SOM = slice(0, 3), _I["cwd"], slice(4, 8)


@dataclass
class PotentialDecomposition:
    """What decomposition would do in a month without limits.

    Attributes:
        loss: C, N and P leaving each pool (pool, element, layer, cell), g m-3.
        litter_demand: N and P that litter transitions need; negative is released (element N, P; transition,
            layer, cell), g m-3.
        som_release: N and P that SOM transitions release (element N, P; layer, cell), g m-3.
    """

    loss: Tensor
    litter_demand: Tensor
    som_release: Tensor


class Cascade:
    """Decomposition of a block of cells."""

    def __init__(self, site: Site) -> None:
        self._site = site

        def column(values: list[float]) -> Tensor:
            return site.tensor(values)[:, None, None]

        self._keep_litter = column([1.0 - site.scalar(rf) for rf in _LITTER_RESPIRED])
        self._keep_som = column([1.0 - site.scalar(rf) for rf in _SOM_RESPIRED])
        ratio = torch.stack([site.soil_cn, site.soil_cp])
        # Receivers of litter are soil1, soil2, soil3; of SOM soil2, soil3, soil4.
        self._need_litter = self._keep_litter / ratio[:, :3, None, None]
        self._need_som = self._keep_som / ratio[:, 1:, None, None]
        self._inverse_cn = 1.0 / site.soil_cn[:, None, None]
        self._cellulose, self._lignin = site.scalar("cwd_fcel"), site.scalar("cwd_flig")
        kept = (values.flatten() for values in (self._keep_litter, self._keep_som))
        #: Share of the donor's carbon that each of `TRANSITIONS` brings to the receiver (transition).
        self.kept = torch.cat([site.tensor([self._cellulose, self._lignin]), *kept])

    def potential(self, soil: Tensor, xi: Tensor, speed: Tensor, days: float) -> PotentialDecomposition:
        """Losses of a month at full supply of nutrients.

        Args:
            soil: pools (pool, element, layer, cell), g m-3.
            xi: environmental scalar (layer, cell).
            speed: rates times acceleration (pool, 1 or cell), 1/day.
            days: length of the month.
        """
        fraction = -torch.expm1(-days * speed[:, None] * xi)
        loss = fraction[:, None] * soil
        # The N that leaves SOM is its C over the fixed ratio, whatever N is stored: ELM's rule.
        loss[_SOM, N] = loss[_SOM, C] * self._inverse_cn
        litter = loss[_LITTER]
        demand = self._need_litter * litter[:, C] - litter[:, 1:].transpose(0, 1)
        som = loss[_SOM]
        release = som[:, 1:].sum(0) - (self._need_som * som[:3, C]).sum(1)
        return PotentialDecomposition(loss, demand, release)

    def advance(self, soil: Tensor, potential: PotentialDecomposition, litter_scale: Tensor) -> Tensor:
        """Moves matter along the cascade, in place.

        Args:
            soil: pools, changed in place.
            potential: losses of the month.
            litter_scale: share of each litter transition that nutrients allow (transition, layer, cell).

        Returns:
            Heterotrophic respiration (layer, cell), gC m-3.
        """
        loss = potential.loss
        loss[_LITTER] *= litter_scale[:, None]
        soil -= loss
        kept_litter = self._keep_litter * loss[_LITTER, C]
        kept_som = self._keep_som * loss[4:7, C]
        gain = torch.empty_like(loss[_SOM, C])
        gain[:3] = kept_litter
        gain[3] = 0.0
        gain[1:] += kept_som
        soil[_SOM, C] += gain
        soil[_SOM, N] += gain * self._inverse_cn
        soil[_SOM, P] += gain / self._site.soil_cp[:, None, None]
        soil[_I["litr2"]] += self._cellulose * loss[_CWD]
        soil[_I["litr3"]] += self._lignin * loss[_CWD]
        return loss[_LITTER, C].sum(0) + loss[_SOM, C].sum(0) - gain.sum(0)


class Mixing:
    """Diffusive mixing of litter and SOM over depth, backward Euler, CWD left in place.

    Finite volumes with no flux at the top and bottom; the tridiagonal factors are kept until the active
    layer or the acceleration changes.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dz = site.tensor(DZSOI[:NLEVDECOMP])
        self._pools = torch.tensor(
            [i for i, pool in enumerate(SOIL_POOLS) if pool.name != "cwd"], device=site.device
        )
        self._upper: list[Tensor] = []
        self._inverse: list[Tensor] = []
        self._lower: list[Tensor] = []

    def prepare(self, altmax: Tensor, acceleration: Tensor, years: float) -> None:
        """Factorises the tridiagonal systems.

        Args:
            altmax: deepest thaw of this and the last year (cell), m.
            acceleration: factor on each pool's diffusivity (pool, 1 or cell).
            years: length of the step.
        """
        speed = acceleration[self._pools][:, None]
        # (pool, interface, cell), m
        flow = speed * (conductance(altmax, self._site.inputs.parameters) * years)
        shape = (flow.shape[0], 1, self._site.ncells)
        zero = torch.zeros(shape, dtype=flow.dtype, device=flow.device)
        down = torch.cat([flow.expand(-1, -1, self._site.ncells), zero], 1) / self._dz[:, None]
        up = torch.cat([zero, flow.expand(-1, -1, self._site.ncells)], 1) / self._dz[:, None]
        diagonal = 1.0 + down + up
        self._upper, self._inverse, self._lower = [], [], []
        previous = torch.zeros_like(diagonal[:, 0])
        for layer in range(NLEVDECOMP):
            inverse = 1.0 / (diagonal[:, layer] + up[:, layer] * previous)
            previous = -down[:, layer] * inverse
            self._inverse.append(inverse[:, None])
            self._upper.append(previous[:, None])
            self._lower.append(up[:, layer][:, None])

    def mix(self, soil: Tensor) -> None:
        """One step, in place, on (pool, element, layer, cell)."""
        values = soil[self._pools]
        carried = values[:, :, 0] * self._inverse[0]
        solution = [carried]
        for layer in range(1, NLEVDECOMP):
            carried = torch.addcmul(values[:, :, layer], self._lower[layer], carried) * self._inverse[layer]
            solution.append(carried)
        for layer in range(NLEVDECOMP - 2, -1, -1):
            below = solution[layer + 1]
            solution[layer] = torch.addcmul(solution[layer], self._upper[layer], below, value=-1.0)
        soil[self._pools] = torch.stack(solution, dim=2)
