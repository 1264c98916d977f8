"""The profile's own `sbatch` and `scontrol`, before programs of a site that say what sites say."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OWN = Path(__file__).parents[2] / "profiles" / "slurm" / "bin"


@dataclass(frozen=True)
class Site:
    """A site's programs, and where the notes on jobs are."""

    programs: Path
    notes: Path

    def has(self, name: str, script: str) -> None:
        """Gives the site a program, a shell script."""
        file = self.programs / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)

    def call(
        self, name: str, *words: str, path: str = "{own}:{site}:{rest}", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Calls the profile's own program, with parts of the PATH in an order."""
        parts = path.format(own=OWN, site=self.programs, rest=os.environ["PATH"])
        return subprocess.run(
            [OWN / name, *words],
            env={"PATH": parts, "PHASE_SLURM_JOBS": str(self.notes), **environment},
            cwd=self.notes,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    @property
    def noted(self) -> list[str]:
        """Numbers of jobs in the notes."""
        file = self.notes / "submitted"
        return file.read_text().split("\n")[:-1] if file.is_file() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site without programs."""
    for name in ("site", "notes"):
        (tmp_path / name).mkdir()
    return Site(tmp_path / "site", tmp_path / "notes")


@pytest.mark.parametrize(
    "said",
    [
        "4711",
        "4711;perlmutter",
        "  4711 ; perlmutter",
        "4711\\r",
        "Verification passed; submitting\\n4711",
        "You have 500 node-hours; 3 jobs wait\\n\\n4711;c1\\nThank you. Ticket 99 is open.",
        "17\\n4711",
    ],
)
def test_of_what_a_site_says_the_number_of_the_job_alone_is_handed_on_and_noted(
    site: Site, said: str
) -> None:
    site.has("sbatch", f"printf '{said}\\n'; echo 'a warning with 12' >&2")
    result = site.call("sbatch", "--parsable", "job.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "4711\n", "a warning with 12\n")
    assert site.noted == ["4711"]
    assert [file.name for file in site.notes.iterdir()] == ["submitted"]


@pytest.mark.parametrize("said", ["", "Submission held; ask 4711", "4711 jobs wait"])
def test_an_answer_without_a_number_is_a_failed_submission_that_shows_it(site: Site, said: str) -> None:
    site.has("sbatch", f"printf 'Welcome\\n{said}\\n'")
    result = site.call("sbatch", "--parsable", "job.sh")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("sbatch: no line with a job's number alone in its answer: Welcome")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert site.noted == []


def test_a_submission_that_is_not_the_executor_s_is_that_of_the_site(site: Site) -> None:
    site.has("sbatch", 'echo "Submitted batch job 4711 by $*"; exit 3')
    result = site.call("sbatch", "--time", "00:20:00", "/cases/ad/.case.run", "--resubmit")
    words = "--time 00:20:00 /cases/ad/.case.run --resubmit"
    assert (result.returncode, result.stdout) == (3, f"Submitted batch job 4711 by {words}\n")
    assert site.noted == []


def test_an_error_of_the_site_is_handed_on_with_its_code(site: Site) -> None:
    site.has("sbatch", "echo 4711; echo 'sbatch: error: invalid account' >&2; exit 3")
    result = site.call("sbatch", "--parsable", "job.sh")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "sbatch: error: invalid account\n"
    assert site.noted == []


@pytest.mark.parametrize("place", ["/nonexistent", "/proc", ""])
def test_a_place_for_temporary_files_is_not_needed(site: Site, place: str) -> None:
    site.has("sbatch", "echo 4711")
    assert site.call("sbatch", "--parsable", "job.sh", TMPDIR=place).stdout == "4711\n"


def test_the_script_of_a_job_may_come_through_standard_input(site: Site) -> None:
    site.has("sbatch", "cat > got; echo 4711")
    result = subprocess.run(
        [OWN / "sbatch", "--parsable", "/dev/stdin"],
        env={"PATH": f"{site.programs}:{os.environ['PATH']}", "PHASE_SLURM_JOBS": str(site.notes)},
        cwd=site.notes,
        input="#!/bin/sh\nwork\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert result.stdout == "4711\n"
    assert (site.notes / "got").read_text() == "#!/bin/sh\nwork\n"


@pytest.mark.parametrize("name", ["sbatch", "scontrol"])
@pytest.mark.parametrize(
    "path",
    [
        "{own}:{site}:{rest}",
        "{own}/:{site}:{rest}",
        "{site}:{rest}:{own}",
        "::{own}:{site}:{rest}:{own}",
        "{link}",
    ],
)
def test_the_sites_program_is_found_wherever_the_own_one_stands(site: Site, name: str, path: str) -> None:
    site.has(name, "echo 4711")
    link = site.programs.parent / "link"
    link.symlink_to(OWN)
    path = path.replace("{link}", f"{link}:{{own}}:{{site}}:{{rest}}")
    assert site.call(name, "show", "job", path=path).stdout == "4711\n"


@pytest.mark.parametrize("name", ["sbatch", "scontrol"])
def test_a_machine_without_the_sites_program_says_so(site: Site, name: str) -> None:
    for tool in ("dirname", "mktemp", "cat", "rm"):
        site.has(tool, f'exec /bin/{tool} "$@"')
    result = site.call(name, "show", "job", path="{own}:{site}")
    assert (result.returncode, result.stderr) == (127, f"{name}: not found\n")


def test_the_configuration_is_known_without_the_controller(site: Site) -> None:
    site.has("scontrol", "echo asked")
    assert site.call("scontrol", "show", "config").stdout == "asked\n"
    (site.notes / "configuration").write_text("MinJobAge = 300 sec\n")
    assert site.call("scontrol", "show", "config").stdout == "MinJobAge = 300 sec\n"
    assert site.call("scontrol", "show", "job", "1").stdout == "asked\n"
