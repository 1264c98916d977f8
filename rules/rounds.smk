# The rounds of the injected run and the files that are judged after each. With `stabilisation.until: schedule` there is one.
from phase_lib.base.files import read_json

BESIDE = [run for run in (*CONFIG.stabilisation.beside, "reference") if TARGET.has_run(run)]
LAST_ROUND = CONFIG.stabilisation.rounds - 1


def segments_until(run, number):
    """Segments of a run of the target up to the end of a round; all of the reference's."""
    return [one for one in segments_of(run) if run == "reference" or one.end_year <= round_end(number)]


def history_until(run, number):
    """Annual history of these segments."""
    files = [placed(segment.history(ANNUAL_TAPE)) for segment in segments_until(run, number)]
    return [file for some in files for file in some]


def restarts_until(run, number):
    """The restart at their end: where it is missing, what wrote the history was killed and is run again."""
    return [placed(segment.restart) for segment in segments_until(run, number)[-1:]]


def corrections_until(run, number):
    """Corrections of a run of the target before the end of a round; all of the reference's."""
    return [one for one in corrections_of(run) if run == "reference" or one.year < round_end(number)]


def predictions_until(run, number):
    """Predictions files of these corrections."""
    return [placed(one.predictions) for one in corrections_until(run, number)]


def audits_until(run, number):
    """Findings of the audit in the restarts that were corrected, from which the run went on."""
    return [audit_of(one.restart) for one in corrections_until(run, number)]


# Run of each of these files.
RUN_OF = {
    file: run
    for run in ("injected", *BESIDE)
    for files_until in (history_until, predictions_until, audits_until)
    for file in files_until(run, LAST_ROUND)
}


def words_by_run(option, files):
    """Words that hand files of runs to the command, each with the name of its run."""
    # As long as a round is not judged, its verdict stands in place of the files.
    return [word for file in flat(files) if file in RUN_OF for word in (option, RUN_OF[file], file)]


def last_round():
    """The round after which the injected run ends."""
    for number in range(LAST_ROUND):
        verdict = checkpoints.judge_round.get(round=number).output.verdict
        if read_json(verdict)["rounds"][-1]["holds"]:
            return number
    return LAST_ROUND


def stages_of_later_rounds():
    """Facts, for the report, of stages that are planned only when a verdict is there, by name."""
    stages = {}
    for number in range(1, LAST_ROUND + 1):
        begin, end = round_end(number - 1), round_end(number)
        names = []
        for run in ("injected", *CONFIG.stabilisation.beside):
            names += [one.stage for one in segments_of(run) if begin < one.end_year <= end]
            made = [one.name for one in corrections_of(run) if one.year == begin]
            names += [f"{step}_{name}" for name in made for step in ("correct", "inject", "audit")]
        stages |= {name: COSTS[f"{RUN}/benchmarks/{name}.tsv"] | {"round": number} for name in names}
        stages[f"judge_round-{number}"] = {"rule": "judge_round", "role": "accelerated", "round": number}
    return stages
