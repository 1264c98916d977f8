"""What an AD run was set to, read from the namelist that it was started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.namelist import read_ad_settings, read_lists

LND_IN = """\
&elm_inparm
 albice = 0.60,0.40
 finidat = ' '      ! it's a cold start; spinup_mortality_factor = 3
 fsurdat = '/data/a=b/c!d/&e/surf.nc'
 hist_fincl1 = 'TLAI','it''s',
   "GPP"
 hist_mfilt(2) = 30
 NYears_AD_Carbon_Only = 25
 spinup_mortality_factor = 5.0
 spinup_state = 1, suplphos = "all" spinup_mortality_factor = 1.0d1
/
&ndepdyn_nml
 ndepmapalgo = 'bilinear'
/
"""


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_comments_quotes_cases_exponents_and_the_last_of_several_lines_are_fortrans(tmp_path: Path) -> None:
    settings = read_ad_settings(written(tmp_path / "lnd_in", LND_IN))
    assert (settings.spinup_state, settings.mortality_factor) == (1, 10.0)
    assert (settings.carbon_only_years, settings.suplphos) == (25, "ALL")


def test_lists_are_read_whole(tmp_path: Path) -> None:
    text = LND_IN.replace("hist_mfilt(2) = 30", "hist_mfilt = 2*1 30,\n hist_type = 3*'A', , 'I'")
    values = read_lists(written(tmp_path / "lnd_in", text))["elm_inparm"]
    assert values["hist_fincl1"] == ["TLAI", "it's", "GPP"]
    assert values["hist_mfilt"] == ["1", "1", "30"]
    assert values["hist_type"] == ["A", "A", "A", "", "I"]
    assert values["fsurdat"] == ["/data/a=b/c!d/&e/surf.nc"]


def test_where_there_is_no_line_the_model_takes_1_and_0(tmp_path: Path) -> None:
    settings = read_ad_settings(written(tmp_path / "lnd_in", "&clm_inparm\n spinup_state = 1\n/\n"))
    assert (settings.mortality_factor, settings.carbon_only_years, settings.suplphos) == (1.0, 0, "ALL")


@pytest.mark.parametrize("place", ["CaseDocs/lnd_in", "lnd_in", "run/lnd_in"])
def test_of_a_case_directory_its_namelist_is_read(tmp_path: Path, place: str) -> None:
    path = written(tmp_path / "case" / place, LND_IN)
    assert read_ad_settings(tmp_path / "case").path == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spinup_mortality_factor = 10\n", "stands outside a group"),  # user_nl_elm
        ("&seq_infodata_inparm\n case_name = 'x'\n/\n", "is not the land model's namelist"),
        ("", "is not the land model's namelist"),
        (
            "&elm_inparm\n spinup_mortality_factor = ten\n/\n",
            "spinup_mortality_factor is ten; expected a number",
        ),
        (
            "&elm_inparm\n spinup_mortality_factor = 0.1\n/\n",
            "spinup_mortality_factor is 0.1; expected 1 or more",
        ),
        ("&elm_inparm\n nyears_ad_carbon_only = 2.5\n/\n", "expected a whole number"),
        ("&elm_inparm\n spinup_state = 1\0\n/\n", "is not text"),
    ],
)
def test_another_namelist_and_impossible_values_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "lnd_in", text)
    with pytest.raises(InputError, match=message) as raised:
        read_ad_settings(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_directory_without_a_namelist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no lnd_in; expected one of CaseDocs/lnd_in, lnd_in"):
        read_ad_settings(tmp_path)


def test_another_factor_beside_the_namelist_is_refused(tmp_path: Path) -> None:
    settings = read_ad_settings(written(tmp_path / "lnd_in", LND_IN))
    assert settings.agreeing_with(None) == settings.agreeing_with(10.0) == 10.0
    with pytest.raises(InputError, match="spinup_mortality_factor is 10, but 8 is given"):
        settings.agreeing_with(8.0)
