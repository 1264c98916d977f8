"""The files and settings of a run from which summary and report are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phase_lib.base.files import expanded_name
from phase_lib.base.provenance import settings_hash
from phase_lib.config.domains import DomainFiles
from phase_lib.config.root import WorkflowConfig
from phase_lib.config.run import CostSettings
from phase_lib.landmodel.domain import RUN_FILES
from phase_lib.landmodel.planning import chains_of, land_model_of

#: The two ways of splitting cells, and their names in prose.
SPLITS = {"random": "random split", "block": "blocked split"}
#: What flagged cells hold in the injected restart, by `ood.action`.
OOD_STATES = {
    "keep": "the state of the base, taken to normal mode",
    "analogue": "the state of the nearest training cell",
    "predict": "the prediction in spite of the flag",
}


@dataclass(frozen=True)
class RunProducts:
    """Paths of the products of one run.

    Attributes:
        dataset: directory of the dataset, with `cells.nc` and `cleaning.json`.
        predictions: `predictions/predictions.nc`: the cells of the target domain.
        restart: the injected restart.
        diff: its sidecar.
        audit: findings of `phase audit` in it.
        correction_audits: run -> findings of `phase audit` in each corrected restart from which it went on.
        splits: split -> split file: the cells of all domains, in the order of the dataset.
        tests: split -> truth and predictions of its test cells: the file of the run, then of experiments.
        training: split -> `history.csv` of its training.
        forcing: domain -> `forcing/<domain>/comparison.json`: its forcing against what the model saw.
        experiments: `experiments/comparison.json`; None where there are no experiments.
        restarts: `experiments/restarts.csv`; None where no model's restart is tested.
        benchmarks: directory of the benchmark tables of the stages.
        slurm_jobs: directory of the notes of the run's SLURM jobs.
        stages: JSON with the run's stages and their roles; tables and notes of other stages are left over
            from another configuration.
        verdict: `equilibrium/verdict.json`; None where the run ends at the injected restart.
        drift: `equilibrium/drift.nc`, which comes with the verdict.
    """

    dataset: Path
    predictions: Path
    restart: Path
    diff: Path
    audit: Path
    benchmarks: Path
    stages: Path
    splits: Mapping[str, Path]
    tests: Mapping[str, Sequence[Path]]
    correction_audits: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    training: Mapping[str, Path] = field(default_factory=dict)
    forcing: Mapping[str, Path] = field(default_factory=dict)
    experiments: Path | None = None
    restarts: Path | None = None
    slurm_jobs: Path | None = None
    verdict: Path | None = None
    drift: Path | None = None


@dataclass(frozen=True)
class RunFacts:
    """Settings of the run that summary and report need.

    Attributes:
        config_hash: hash of the whole configuration.
        directory: run directory, for the closing page.
        cores: cores of the machine that the workflow used.
        target: domain whose restart was injected.
        training: domains that the surrogate learnt from.
        forcing_years: forcing cycle of the target.
        input_years: AD years before the surrogate.
        ad_years: AD years of a conventional spin-up.
        stabilisation_years: normal years after injection, by the schedule.
        windows: those of them at whose ends the run is corrected.
        conventional_years: AD and normal years of a conventional spin-up.
        ood_action: what flagged cells receive.
        input_here: the AD years before injection are run here.
        labelled_here: training domains whose reference is run here.
        label_years: AD and normal years of that reference; None where none is run here.
        limits: sentences about the land models on whose runs the results rest.
        cost: how costs are counted.
        files: of a target that is run elsewhere, by their keys in the configuration.
        correction, injection: keys of these sections that are not the default.
    """

    name: str
    config_hash: str
    directory: Path
    cores: int
    target: str
    training: tuple[str, ...]
    forcing_years: int
    input_years: int
    ad_years: int
    stabilisation_years: int
    conventional_years: int
    ood_action: str
    input_here: bool = True
    labelled_here: tuple[str, ...] = ()
    label_years: int | None = None
    limits: tuple[str, ...] = ()
    cost: CostSettings = field(default_factory=CostSettings)
    windows: tuple[int, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    correction: Mapping[str, Any] = field(default_factory=dict)
    injection: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: WorkflowConfig, cores: int) -> RunFacts:
        """Takes the settings from a configuration that ran on `cores` cores."""
        spinup, target = config.spinup, config.target.domain
        chains = {name: chains_of(config, name) for name in config.used_domains}
        ends = {name: {chain.role: chain.boundaries[-1] for chain in chains[name]} for name in chains}
        labelled = [name for name in config.training.domains if "reference" in ends[name]]
        limits, cycle = land_model_of(config, target).limits, config.cycle_of(target)
        assert cycle is not None, "a domain without forcing is refused before anything runs"
        if "injected" not in ends[target]:
            learnt = (land_model_of(config, name).limits_of_learning for name in labelled)
            limits = tuple(sentence for sentences in learnt for sentence in sentences)
        return cls(
            name=config.run.name,
            config_hash=settings_hash(config.model_dump(mode="json")),
            directory=config.run.directory,
            cores=cores,
            target=target,
            training=tuple(config.training.domains),
            forcing_years=cycle,
            input_years=spinup.input_years,
            ad_years=spinup.ad_years,
            stabilisation_years=config.stabilisation.scheduled_years,
            conventional_years=spinup.ad_years + spinup.normal_years,
            ood_action=config.ood.action,
            input_here=bool(chains[target]) and chains[target][0].boundaries[0] == 1,
            labelled_here=tuple(labelled),
            label_years=max((ends[name]["reference"] - 1 for name in labelled), default=None),
            limits=limits,
            cost=config.cost,
            windows=tuple(config.stabilisation.windows),
            files=_run_files(config.domains.get(target)),
            correction=config.correction.model_dump(mode="json", exclude_defaults=True),
            injection=config.injection.model_dump(mode="json", exclude_defaults=True),
        )


def _run_files(files: DomainFiles | None) -> dict[str, str]:
    """Files that all runs of a domain read, with their paths; none of a domain that a land model makes."""
    given = {} if files is None else {key: getattr(files, key) for key in RUN_FILES}
    return {key: str(Path(expanded_name(path)).absolute()) for key, path in given.items() if path is not None}
