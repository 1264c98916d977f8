"""Where the rates of the last years lead the slow pools of the soil; of all others the 20-year state."""

from __future__ import annotations

from collections.abc import Mapping

from phase_lib.dataset.layout import Layout
from phase_lib.surrogate.baselines.state20 import State20


class SemiAnalytic(State20):
    """The state from which the predictions of the default preset start, without a network."""

    name, label = "semi_analytic", "semi-analytic state"

    def variables(self) -> Mapping[str, str]:
        """See `State20`; all of it is the 20-year state where the dataset has no semi-analytic one."""
        starts = Layout.read(self.task.dataset_dir).starts()
        return {name: starts[name] for name in self.task.targets}
