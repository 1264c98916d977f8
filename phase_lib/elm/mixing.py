"""Vertical mixing of litter and SOM: diffusivity at the layer interfaces.

Source: ELM's litter transport. Bioturbation where permafrost is out of reach; cryoturbation within an active
layer of up to 2 m, falling linearly to zero at 3 m; nothing where the ground never thaws. Coarse woody debris
is not mixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phase_lib.elm.constants import SECONDS_PER_YEAR
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.soil_grid import NLEVDECOMP, ZISOI, ZSOI

_LAST_CRYO_DEPTH = 3.0


def diffusivity(altmax: Tensor, parameters: Parameters) -> Tensor:
    """Diffusivity at the interfaces between the layers (interface, column), m2 yr-1.

    Args:
        altmax: deepest thaw of this and the last year (column), m.
        parameters: with `som_diffus`, `cryoturb_diffusion_k` and `max_altdepth_cryoturbation`.
    """
    bio = parameters.value("som_diffus") * SECONDS_PER_YEAR
    cryo = parameters.value("cryoturb_diffusion_k") * SECONDS_PER_YEAR
    limit = parameters.value("max_altdepth_cryoturbation")
    depth = torch.as_tensor(ZISOI[1:NLEVDECOMP], dtype=altmax.dtype, device=altmax.device)[:, None]
    fading = ((_LAST_CRYO_DEPTH - depth) / (_LAST_CRYO_DEPTH - altmax).clamp(min=1e-6)).clamp(0.0, 1.0)
    cold = cryo * torch.where(depth <= altmax, torch.ones_like(fading), fading)
    warm = torch.full_like(fading, bio)
    mixed = torch.where(altmax <= limit, cold, warm)
    return torch.where(altmax <= 0.0, torch.zeros_like(mixed), mixed)


def conductance(altmax: Tensor, parameters: Parameters) -> Tensor:
    """Diffusivity over the distance of the nodes beside each interface (interface, column), m yr-1."""
    gap = torch.as_tensor(ZSOI[1:NLEVDECOMP] - ZSOI[: NLEVDECOMP - 1], dtype=altmax.dtype)
    return diffusivity(altmax, parameters) / gap.to(altmax.device)[:, None]
