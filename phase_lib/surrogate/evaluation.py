"""Predictions of the test cells of a split: a trained surrogate and baselines beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.config.experiments import BASELINES, OWN
from phase_lib.dataset.loading import describe, load_dataset, read_cells
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.inference import Surrogate
from phase_lib.surrogate.predictor import Predictor, Task
from phase_lib.surrogate.skill import Model, write_test_file
from phase_lib.surrogate.training import load_model


def predict_test(
    model: str | Path,
    dataset_dir: str | Path,
    split_file: str | Path,
    output: str | Path,
    threads: int = 1,
    name: str = OWN,
    label: str = "",
    baselines: Sequence[str] = (),
) -> None:
    """Writes truth and predictions of all predicted variables on the test cells.

    Args:
        model: model trained with this split.
        dataset_dir: the dataset's directory.
        split_file: its test cells are predicted.
        output: file to write.
        threads: CPU threads.
        name: of the model: that of the experiment.
        label: of the model in tables and figures; that of its network if empty.
        baselines: names of the baselines to compare with.

    Raises:
        InputError: the files do not fit together, there is no such baseline, or two predictors have one
            name.
    """
    split, index = read_split(split_file, dataset_dir), read_cells(dataset_dir)
    trained = load_model(model)
    if trained.provenance["dataset_id"] != index.dataset_id:
        raise InputError(model, "was trained on another dataset", remedy="train again")
    targets, test = trained.layout.targets, split.test
    task = Task(Path(dataset_dir), index, targets, split.train | split.validation, trained.settings.seed)
    try:
        classes = [BASELINES.load(baseline) for baseline in baselines]
    except ValueError as error:
        raise InputError(None, str(error)) from error
    predictors: list[Predictor] = [Surrogate(trained, dataset_dir, threads, name, label)]
    predictors += [baseline(task) for baseline in classes]
    names = [predictor.name for predictor in predictors]
    if len(set(names)) < len(names):
        raise InputError(None, f"the predictors are {', '.join(names)}", expected="different names")
    settings = {name: trained.settings.model_dump(mode="json")}
    truth = load_dataset(dataset_dir, [f"Y_{target}" for target in targets], test)
    info = describe(dataset_dir)
    write_test_file(
        output,
        cell=index.cell[test],
        lat=index.lat[test],
        lon=index.lon[test],
        covered=index.covered[test],
        truth={target: truth[f"Y_{target}"] for target in targets},
        units={target: info[f"Y_{target}"].units for target in targets},
        models=[Model(p.name, p.label, settings.get(p.name, {})) for p in predictors],
        predictions=(predictor.predict(test) for predictor in predictors),
        attributes={"split": split.kind, "model_sha256": trained.sha256, "dataset_id": index.dataset_id},
    )
