"""A trained surrogate predicts pools, fluxes, and how far cells are from the training cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from phase_lib.base.progress import LOGGER
from phase_lib.config.experiments import OWN
from phase_lib.dataset.layout import FLUX_TARGETS
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import Batch, Reader
from phase_lib.surrogate.pieces import Pieces
from phase_lib.surrogate.predictor import Predictions, Predictor
from phase_lib.surrogate.training import TrainedModel, computing

_CHUNK = 512


@contextmanager
def predicting(trained: TrainedModel, threads: int) -> Iterator[Callable[[Batch], Predictions]]:
    """A function that predicts the cells of a batch; its answer depends on that batch alone.

    Raises:
        InputError: the model is for a GPU and there is none.
    """
    with computing(trained.settings, threads) as device, torch.no_grad():
        model = trained.model.to(device)
        LOGGER.debug("predicting on %s", device)

        pieces = Pieces()

        def answer(batch: Batch) -> Predictions:
            rows = torch.arange(len(batch)).split(_CHUNK)  # type: ignore[no-untyped-call]
            one = partial(_answer, trained, model, device)
            return _joined([part for some in rows for part in pieces.over(batch.take(some), one)])

        yield answer
        model.to("cpu")


def _answer(trained: TrainedModel, model: Ensemble, device: torch.device, batch: Batch) -> Predictions:
    outputs, latent = model.predict(batch.to(device))
    patch = np.where(batch.covered.numpy()[..., None], outputs.patch.cpu().numpy(), np.float32(np.nan))
    layer, flux = outputs.layer.cpu().numpy(), outputs.flux.cpu().numpy()
    pools = {name: patch[..., i] for i, name in enumerate(trained.layout.patch_targets)}
    pools |= {name: layer[..., i] for i, name in enumerate(trained.layout.layer_targets)}
    fluxes = {name: flux[:, i] for i, name in enumerate(FLUX_TARGETS)}
    return Predictions(pools, fluxes, trained.reference.score(latent.cpu()))


def reader_of(trained: TrainedModel, dataset_dir: str | Path) -> Reader:
    """Reads the inputs of a model, not the labels. Raises an InputError where the dataset lacks an input."""
    trained.layout.require_in(dataset_dir)
    return Reader(Path(dataset_dir), trained.layout, trained.scaler, labels=False)


class Surrogate(Predictor):
    """A trained ensemble on the cells of a dataset; its label is that of the network if empty."""

    def __init__(
        self,
        trained: TrainedModel,
        dataset_dir: str | Path,
        threads: int = 1,
        name: str = OWN,
        label: str = "",
    ) -> None:
        self.name, self.label = name, label or trained.settings.network.label
        self._trained, self._dataset_dir, self._threads = trained, dataset_dir, threads

    def predict(self, cells: np.ndarray) -> Predictions:
        """Raises an InputError where the dataset lacks an input, or an input is NaN."""
        reader = reader_of(self._trained, self._dataset_dir)
        with predicting(self._trained, self._threads) as answer:
            return _joined([answer(piece) for piece in reader.pieces(cells)])


def _joined(pieces: Sequence[Predictions]) -> Predictions:
    """Cells of several pieces, in order."""
    return Predictions(
        {name: np.concatenate([piece.pools[name] for piece in pieces]) for name in pieces[0].pools},
        {name: np.concatenate([piece.fluxes[name] for piece in pieces]) for name in pieces[0].fluxes},
        np.concatenate([piece.score for piece in pieces]),
    )
