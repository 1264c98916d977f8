"""Namelists and stream files of a case, as CIME makes them out of XML variables and user_nl files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from .case import Case, CaseError, expect, say

LONGEST_TEXT = 256
#: Names that user_nl_elm may have, of which ELM knows several hundred more, and those of user_nl_cpl.
_ELM_TEXT = """
albice atm_gustiness carbon_only check_dynpft_consistency check_finidat_fsurdat_consistency
check_finidat_pct_consistency check_finidat_year_consistency co2_ppmv co2_type const_climate_hist
create_crop_landunit do_budgets do_harvest do_transient_crops do_transient_pfts dtime fates_paramfile
fatmlndfrc fatmtopo fin_use_fsat finidat finidat_interp_dest finidat_interp_source firrig_data
flanduse_timeseries flndtopo forest_fert_exp fsnowaging fsnowoptics fsoilordercon fsurdat
hist_avgflag_pertape hist_dov2xy hist_empty_htapes hist_fexcl1 hist_fexcl2 hist_fexcl3 hist_fexcl4
hist_fexcl5 hist_fexcl6 hist_fincl1 hist_fincl2 hist_fincl3 hist_fincl4 hist_fincl5 hist_fincl6 hist_mfilt
hist_ndens hist_nhtfrq hist_type1d_pertape hist_wrtch4diag irrigate lightngmapalgo maxpatch_glcmec
maxpatch_pft metdata_biases metdata_bypass metdata_type model_year_align_lightng model_year_align_ndep
model_year_align_pdep model_year_align_popdens more_vertlayers ndepmapalgo nfix_timeconst nsegspc nu_com
nyears_ad_carbon_only override_nsrest paramfile pdepmapalgo popdensmapalgo rest_flag
spinup_mortality_factor spinup_state startdate_add_co2 startdate_add_temperature
stream_fldfilename_lightng stream_fldfilename_ndep stream_fldfilename_pdep stream_fldfilename_popdens
stream_year_first_lightng stream_year_first_ndep stream_year_first_pdep stream_year_first_popdens
stream_year_last_lightng stream_year_last_ndep stream_year_last_pdep stream_year_last_popdens suplnitro
suplphos tw_irr urban_hac urban_traffic use_aereoxid_prog use_atm_downscaling_to_topunit
use_century_decomp use_cn use_crop use_dynroot use_erosion use_extralakelayers use_fan use_fates
use_hydrstress use_lch4 use_modified_infil use_nofire use_snicar_ad use_top_solar_rad use_vertsoilc
use_vsfm wrtdia
"""
_CPL_TEXT = "wall_time_limit force_stop_at end_restart histaux_l2x do_budgets info_debug max_cplstep_time"
_ELM_NAMES, _CPL_NAMES = (frozenset(text.split()) for text in (_ELM_TEXT, _CPL_TEXT))
_CHOICES = {"suplphos": ("NONE", "ALL"), "suplnitro": ("NONE", "ALL"), "nu_com": ("RD", "ECA", "MIC")}
_INTEGERS = ("hist_mfilt", "hist_nhtfrq", "hist_ndens", "nyears_ad_carbon_only", "spinup_state")
_STREAM_GROUPS = (
    ("ndepdyn_nml", ("ndepmapalgo", "ndep")),
    ("pdepdyn_nml", ("pdepmapalgo", "pdep")),
    ("popd_streams", ("popdensmapalgo", "popdens")),
    ("light_streams", ("lightngmapalgo", "lightng")),
)
#: Input that every run with ELM reads besides the files of its domain, below DIN_LOC_ROOT.
COMMON_INPUT = {
    "fsnowaging": "lnd/clm2/snicardata/snicar_drdt_bst_fit_60_c070416.nc",
    "fsnowoptics": "lnd/clm2/snicardata/snicar_optics_5bnd_mam_c160322.nc",
    "paramfile": "lnd/clm2/paramdata/clm_params_c211124.nc",
    "fsoilordercon": "lnd/clm2/paramdata/CNP_parameters_c180529.nc",
    "ndep": "lnd/clm2/ndepdata/fndep_elm_cbgc_exp_simyr1849-2101_1.9x2.5_ssp245_c240903.nc",
    "pdep": "lnd/clm2/pdepdata/fpdep_clm_hist_simyr2000_1.9x2.5_c150929.nc",
    "popdens": "lnd/clm2/firedata/elmforc.Li_20181205_mod_hist_SSP2_CMIP6_hdm_0.5x0.5_AVHRR_simyr1850-2100_c240906.nc",  # noqa: E501
    "lightng": "atm/datm7/NASA_LIS/clmforc.Li_2012_climo1995-2011.T62.lnfm_Total_c140423.nc",
    "presaero": "atm/cam/chem/trop_mozart_aero/aero/aerosoldep_monthly_1850_mean_1.9x2.5_c090421.nc",
    "topo": "atm/datm7/topo_forcing/topodata_0.9x1.25_USGS_070110_stream_c151201.nc",
}
#: Grids for which E3SM knows the files of the land.
DEFAULT_FILES = {
    "f09_f09": {
        "domain": "share/domains/domain.lnd.fv0.9x1.25_gx1v6.090309.nc",
        "fsurdat": "lnd/clm2/surfdata_map/surfdata_0.9x1.25_simyr1850_c180306.nc",
    }
}
_QIAN = "$DIN_LOC_ROOT/atm/datm7"
_CRU = "$DIN_LOC_ROOT_CLMFORC/atm_forcing.datm7.cruncep_qianFill.0.5d.v7.c160715"
_GSW = "$DIN_LOC_ROOT_CLMFORC/atm_forcing.datm7.GSWP3.0.5d.v1.c170516"
_KM = "$DIN_LOC_ROOT_CLMFORC/atm_forcing.datm7.km.1d"
_STATE = "TBOT tbot\nWIND wind\nQBOT shum\nPSRF pbot"
#: Mode -> domain file, mapping, and of each stream: name, directory, start of the file names, fields,
#: interpolation in time.
_MODES: dict[str, tuple[str, str, list[tuple[str, str, str, str, str]]]] = {
    "CLM_QIAN": (
        f"{_QIAN}/domain.T62.050609.nc",
        "bilinear",
        [
            (
                "Solar",
                f"{_QIAN}/atm_forcing.datm7.Qian.T62.c080727/Solar6Hrly",
                "clmforc.Qian.c2006.T62.Solr.",
                "FSDS swdn",
                "coszen",
            ),
            (
                "Precip",
                f"{_QIAN}/atm_forcing.datm7.Qian.T62.c080727/Precip6Hrly",
                "clmforc.Qian.c2006.T62.Prec.",
                "PRECTmms precn",
                "nearest",
            ),
            (
                "TPQW",
                f"{_QIAN}/atm_forcing.datm7.Qian.T62.c080727/TmpPrsHumWnd3Hrly",
                "clmforc.Qian.c2006.T62.TPQW.",
                _STATE,
                "linear",
            ),
        ],
    ),
    "CLMCRUNCEPv7": (
        f"{_CRU}/domain.lnd.360x720_cruncep.130305.nc",
        "bilinear",
        [
            ("Solar", f"{_CRU}/Solar6Hrly", "clmforc.cruncep.V7.c2016.0.5d.Solr.", "FSDS swdn", "coszen"),
            (
                "Precip",
                f"{_CRU}/Precip6Hrly",
                "clmforc.cruncep.V7.c2016.0.5d.Prec.",
                "PRECTmms precn",
                "nearest",
            ),
            ("TPQW", f"{_CRU}/TPHWL6Hrly", "clmforc.cruncep.V7.c2016.0.5d.TPQWL.", _STATE, "linear"),
        ],
    ),
    "CLMGSWP3v1": (
        f"{_GSW}/domain.lnd.360x720_gswp3.0v1.c170606.nc",
        "bilinear",
        [
            ("Solar", f"{_GSW}/Solar", "clmforc.GSWP3.c2011.0.5x0.5.Solr.", "FSDS swdn", "coszen"),
            ("Precip", f"{_GSW}/Precip", "clmforc.GSWP3.c2011.0.5x0.5.Prec.", "PRECTmms precn", "nearest"),
            ("TPQW", f"{_GSW}/TPHWL", "clmforc.GSWP3.c2011.0.5x0.5.TPQWL.", f"{_STATE}\nFLDS lwdn", "linear"),
        ],
    ),
    "uELM_TES": (
        f"{_KM}/domain.lnd.Daymet.km.1d.nc",
        "copy",
        [
            ("Prec", _KM, "clmforc.Daymet.km.1d.Prec.", "PRECTmms precn", "nearest"),
            ("Solr", _KM, "clmforc.Daymet.km.1d.Solr.", "FSDS swdn", "coszen"),
            ("TPQWL", _KM, "clmforc.Daymet.km.1d.TPQWL.", f"{_STATE}\nFLDS lwdn", "linear"),
        ],
    ),
}


def create_namelists(case: Case) -> None:
    """Writes CaseDocs, RUNDIR and the lists of input data; a refused one leaves the files of the last time.

    Old stream files stay in CaseDocs: those of the run are named in datm_in.
    """
    run = case.path("RUNDIR")
    docs = case.root / "CaseDocs"
    docs.mkdir(exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    case.path("EXEROOT").mkdir(parents=True, exist_ok=True)
    for component, make in (("datm", _datm), ("elm", _elm), ("drv", _driver)):
        say(f"Create namelist for component {component}")
        made, listed = make(case)
        for name, text in made.items():
            (run / name).write_text(text, encoding="utf-8")
        (case.root / "Buildconf").mkdir(exist_ok=True)
        lines = "".join(f"{name} = {path}\n" for name, path in listed)
        listing = f"{'cpl' if component == 'drv' else component}.input_data_list"
        (case.root / "Buildconf" / listing).write_text(lines, encoding="utf-8")
    if case.get("COMP_ROF") == "mosart":
        (case.root / "Buildconf" / "mosart.input_data_list").touch()
    for file in run.iterdir():
        if file.name.endswith("_in") or ".streams.txt." in file.name or file.name.endswith("_modelio.nml"):
            shutil.copy2(file, docs)


# --- reading of user_nl files -------------------------------------------------------------------


def read_user_namelist(path: Path) -> dict[str, list[str]]:
    """The settings of a user_nl file; a name that comes twice has the last value.

    Raises:
        CaseError: there is no file.
        SyntaxError: a line is no setting.
    """
    expect(path.is_file(), f"Missing required user_nl_file {path} ")
    return parse_namelist(path.read_text(encoding="utf-8"))


def parse_namelist(text: str) -> dict[str, list[str]]:
    """The settings of a namelist without groups.

    Raises:
        SyntaxError: a line is no setting.
    """
    tokens = re.findall(
        r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|![^\n]*|[=,/\n]|[^\s=,/!'"]+(?:/[^\s=,!'"]*)*""", text
    )
    tokens = [token for token in tokens if not token.startswith("!")]
    settings: dict[str, list[str]] = {}
    name = ""
    words = [token for token in tokens if token not in (",", "\n")]
    position = 0
    while position < len(words):
        word = words[position]
        if position + 1 < len(words) and words[position + 1] == "=":
            name = word.lower()
            settings[name] = []
            position += 2
            continue
        rest = " ".join(words[position + 1 : position + 5])
        wrong = "ERROR(Build::Namelist::_parse_next): expect a equal '=' sign or '+=', instead got: "
        value = re.fullmatch(r"""'.*'|".*"|\.\w+\.|[+-]?[\d.].*|\d+\*.*""", word, re.DOTALL)
        if not name or not value:
            raise SyntaxError(f"{wrong} {rest}")
        repeated = re.fullmatch(r"(\d+)\*(.+)", word)
        settings[name] += [repeated[2]] * int(repeated[1]) if repeated else [word]
        position += 1
    return settings


def text_value(value: str) -> str:
    """A text of a namelist without its quotes."""
    return value[1:-1] if value[:1] in "'\"" else value


def _namelist(groups: Iterable[tuple[str, dict[str, str]]], indent: str = "  ") -> str:
    lines = []
    for group, settings in groups:
        lines += [f"&{group}", *(f"{indent}{name} = {settings[name]}" for name in sorted(settings)), "/"]
    return "\n".join(lines) + "\n"


# --- ELM ----------------------------------------------------------------------------------------


def _elm(case: Case) -> tuple[dict[str, str], list[tuple[str, str]]]:
    options = case.get("ELM_BLDNML_OPTS")
    start = _start(case, case.get("RUN_STARTDATE"))
    command = f"{case.get('SRCROOT')}/components/elm/bld/build-namelist {options}"

    def refuse(condition: object, where: str, what: str) -> None:
        said = f"ERROR : CLM build-namelist::ELMBuildNamelist::{where}() : {what}"
        expect(
            condition,
            f"Command: '{command}' failed with error '{said}' from dir '{case.root}/Buildconf/elmconf'",
        )

    try:
        given = read_user_namelist(case.root / "user_nl_elm")
    except SyntaxError as error:
        wrong = f"Command: '{command}' failed with error '{error}' from dir '{case.root}/Buildconf/elmconf'"
        raise CaseError(wrong) from None
    invalid = (
        "Invalid namelist variable in '-infile' " + f"{case.root}/Buildconf/elmconf/namelist.\n ERROR: in "
    )
    place = "process_namelist_commandline_infile"
    for name, values in given.items():
        known = f"_validate_pair (package Build::NamelistDefinition): Variable name {name} not found in "
        refuse(re.sub(r"\(\d+\)$", "", name) in _ELM_NAMES, place, f"{invalid}{known}namelist_definition.xml")
        for value in values:
            number = f"Variable name {name} has values that are not of the right type: {value}"
            what = f"{invalid}validate_variable_value (package Build::Namelist): {number}"
            refuse(name not in _INTEGERS or re.fullmatch(r"[+-]?\d+", value), place, what)
            long = f"Variable name {name} has a string element that is too long: '{text_value(value)}'"
            what = f"{invalid}validate_variable_value (package Build::Namelist): {long}"
            refuse(len(text_value(value)) <= LONGEST_TEXT, place, what)
            choices = " ".join(f"'{one}'" for one in _CHOICES.get(name, ()))
            wrong = f"Variable name {name} has values that does NOT match any of the valid values: {choices}."
            allowed = name not in _CHOICES or text_value(value) in _CHOICES[name]
            refuse(allowed, place, f"{invalid}validate_variable_value (package Build::Namelist): {wrong}")
    switches = re.findall(r"-bgc_spinup\s+(\w+)", options)
    state = "1" if switches and switches[-1] == "on" else "0"
    contradicts = "Namelist spinup_state contradicts the command line option bgc_spinup"
    refuse(given.get("spinup_state", [state]) == [state], "setup_cmdl_bgc_spinup", contradicts)
    both = "can NOT set both -l_ncpl option (via LND_NCPL env variable) AND dtime namelist variable."
    refuse("dtime" not in given, "setup_logic_delta_time", both)
    finidat = text_value(given.get("finidat", ["' '"])[0])
    cold = "setting finidat is incomptable with using start_type=cold."
    refuse(
        not finidat.strip() or case.get("ELM_FORCE_COLDSTART") != "on",
        "setup_logic_initial_conditions",
        cold,
    )
    defaults = DEFAULT_FILES.get(case.get("LND_GRID"), {})
    refuse(
        "fsurdat" in given or "fsurdat" in defaults,
        "add_default",
        "No default value found for fsurdat.\n  Are defaults provided for this resolution and land mask?",
    )
    if (
        case.get("LND_GRID") != "ELM_USRDAT"
        and "finidat" not in given
        and case.get("ELM_FORCE_COLDSTART") != "on"
    ):
        finidat = f"{case.get('DIN_LOC_ROOT')}/lnd/clm2/initdata/{case.get('LND_GRID')}.elm.r.nc"
    if case.get("RUN_TYPE") == "hybrid" and "finidat" not in given:
        parts = [case.get(f"RUN_REF{part}") for part in ("CASE", "DATE", "TOD")]
        finidat = f"{parts[0]}.elm.r.{parts[1]}-{parts[2]}.nc"
    root = case.get("DIN_LOC_ROOT")
    domain = f"{case.get('LND_DOMAIN_PATH')}/{case.get('LND_DOMAIN_FILE')}"
    settings = {
        "albice": "0.60,0.40", "co2_ppmv": case.get("CCSM_CO2_PPMV"),
        "co2_type": f"'{case.get('ELM_CO2_TYPE')}'",
        "create_crop_landunit": ".false.", "do_budgets": ".true.",
        "dtime": str(86400 // case.number("LND_NCPL")), "fatmlndfrc": f"'{domain}'",
        "maxpatch_glcmec": "0", "maxpatch_pft": "17", "more_vertlayers": ".false.", "nsegspc": "20",
        "nu_com": "'RD'", "spinup_state": state, "suplnitro": "'NONE'", "suplphos": "'NONE'",
        "use_century_decomp": ".false.", "use_cn": ".true.", "use_crop": ".false.", "use_fates": ".false.",
        "use_lch4": ".true.", "use_snicar_ad": ".true.", "use_vertsoilc": ".true.",
    }  # fmt: skip
    if "fsurdat" in defaults:
        settings["fsurdat"] = f"'{root}/{defaults['fsurdat']}'"
    for name in ("fsnowaging", "fsnowoptics", "paramfile", "fsoilordercon"):
        settings[name] = f"'{root}/{COMMON_INPUT[name]}'"
    streams: list[tuple[str, dict[str, str]]] = []
    for group, (algorithm, name) in _STREAM_GROUPS:
        year = {"pdep": "2000", "lightng": "0001"}.get(name, "1850")
        one = {
            algorithm: "'bilinear'",
            f"stream_fldfilename_{name}": f"'{root}/{COMMON_INPUT[name]}'",
            f"stream_year_first_{name}": year,
            f"stream_year_last_{name}": year,
        }
        streams.append((group, one))
    settings |= {name: ",".join(values) for name, values in given.items()}
    settings["finidat"] = f"'{finidat}'"
    for _, one in streams:
        for name in one:
            one[name] = settings.pop(name, one[name])
    text = _namelist([("elm_inparm", settings), *streams, ("elmu_inparm", {}), ("ch4par_in", {})], " ")
    text += f"!#{'-' * 80}\n!# lnd_in:: Comment:\n!#     start_ymd={start} {options}\n"
    files = [
        (name, settings[name]) for name in ("fsnowaging", "paramfile", "finidat", "fsurdat", "fsnowoptics")
    ]
    files += [(name, settings[name]) for name in ("fatmlndfrc", "fsoilordercon")]
    files += [(name, value) for _, one in streams for name, value in one.items() if "fldfilename" in name]
    return {"lnd_in": text}, [(name, text_value(value)) for name, value in files]


def _start(case: Case, date: str) -> str:
    parts = date.split("-")
    expect(len(parts) == 3 and all(part.isdigit() for part in parts), f"Invalid date {date}")
    return "".join(parts)


# --- DATM ---------------------------------------------------------------------------------------


def _datm(case: Case) -> tuple[dict[str, str], list[tuple[str, str]]]:
    read_user_namelist(case.root / "user_nl_datm")
    mode = case.get("DATM_MODE")
    expect(mode in _MODES, f"The stand-in for E3SM has no streams of DATM_MODE {mode}")
    for name in ("DATM_PRESAERO", "DATM_TOPO"):
        expect(case.get(name) != "none", f"{name} is none: the stream of the land modes needs it")
    domain_file, mapping, streams = _MODES[mode]
    first, last, align = (case.number(f"DATM_CLMNCEP_YR_{part}") for part in ("START", "END", "ALIGN"))
    roots = {name: case.get(name) for name in ("DIN_LOC_ROOT_CLMFORC", "DIN_LOC_ROOT")}

    def resolved(path: str) -> str:
        for name, value in roots.items():
            path = re.sub(rf"\${name}\b", value, path)
        return path

    files: dict[str, str] = {}
    listed: list[tuple[str, str]] = []
    lines, mappings, interpolations = [], [], []
    one_year = [
        (f"presaero.{case.get('DATM_PRESAERO')}", COMMON_INPUT["presaero"], "BCDEPWET bcphiwet", "linear"),
        (f"topo.{case.get('DATM_TOPO')}", COMMON_INPUT["topo"], "TOPO topo", "lower"),
    ]
    for stream, directory, prefix, fields, interpolation in streams:
        months = [f"{year:04d}-{month:02d}" for year in range(first, last + 1) for month in range(1, 13)]
        names = [f"{prefix}{month}.nc" for month in months]
        name = f"datm.streams.txt.{mode}.{stream}"
        files[name] = _stream(case, name, resolved(domain_file), resolved(directory), names, fields)
        lines.append(f"{name} {align} {first} {last}")
        mappings.append(mapping)
        interpolations.append(interpolation)
    for stream, path, fields, interpolation in one_year:
        whole = Path(roots["DIN_LOC_ROOT"]) / path
        name = f"datm.streams.txt.{stream}"
        files[name] = _stream(case, name, str(whole), str(whole.parent), [whole.name], fields)
        lines.append(f"{name} 1 1 1")
        mappings.append("bilinear")
        interpolations.append(interpolation)
    for text in files.values():
        domains, data = stream_files(text)
        listed += [(f"domain{number}", path) for number, path in enumerate(domains, 1)]
        listed += [(f"file{number}", path) for number, path in enumerate(data, 1)]
    domain = f"{case.get('ATM_DOMAIN_PATH')}/{case.get('ATM_DOMAIN_FILE')}"
    listed.append(("domainfile", domain))

    def quoted(values: list[str], between: str = ", ") -> str:
        return between.join(f'"{value}"' for value in values)

    settings = {
        "datamode": '"CLMNCEP"',
        "domainfile": f'"{domain}"',
        "mapalgo": quoted(mappings),
        "streams": quoted(lines, ",\n      "),
        "taxmode": quoted(["cycle"] * len(lines)),
        "tintalgo": quoted(interpolations),
    }
    files["datm_in"] = _namelist([("datm_nml", {"decomp": '"1d"'}), ("shr_strdata_nml", settings)])
    return files, listed


def _stream(case: Case, name: str, domain: str, directory: str, names: list[str], fields: str) -> str:
    """A stream file: that of the user, or made of the mode."""
    user = case.root / f"user_{name}"
    if user.is_file():
        return user.read_text(encoding="utf-8")
    place = Path(domain)
    listed = "".join(f"    {one}\n" for one in names)
    described = "".join(f"     {field}\n" for field in fields.split("\n"))
    coordinates = "".join(
        f"     {a} {b}\n"
        for a, b in (("time", "time"), ("xc", "lon"), ("yc", "lat"), ("area", "area"), ("mask", "mask"))
    )
    return f"""<?xml version="1.0"?>
<file id="stream" version="1.0">
<dataSource>
   GENERIC
</dataSource>
<domainInfo>
  <variableNames>
{coordinates}  </variableNames>
  <filePath>
     {place.parent}
  </filePath>
  <fileNames>
     {place.name}
  </fileNames>
</domainInfo>
<fieldInfo>
   <variableNames>
{described}   </variableNames>
   <filePath>
     {directory}
   </filePath>
   <fileNames>
{listed}   </fileNames>
   <offset>
      0
   </offset>
</fieldInfo>
</file>
"""


def stream_files(text: str) -> tuple[list[str], list[str]]:
    """Domain files and data files of a stream file."""
    files = []
    for part in ("domainInfo", "fieldInfo"):
        block = re.search(rf"<{part}>(.*?)</{part}>", text, re.DOTALL)
        expect(block, f"stream file has no {part}")
        assert block is not None
        path, names = (
            match[1].split() if (match := re.search(rf"<{tag}>(.*?)</{tag}>", block[1], re.DOTALL)) else []
            for tag in ("filePath", "fileNames")
        )
        expect(path and names, f"stream file has no filePath or fileNames in {part}")
        files.append([f"{' '.join(path).rstrip('/')}/{name}" for name in names])
    return files[0], files[1]


# --- driver -------------------------------------------------------------------------------------


def _driver(case: Case) -> tuple[dict[str, str], list[tuple[str, str]]]:
    given = read_user_namelist(case.root / "user_nl_cpl")
    for name in given:
        known = name in _CPL_NAMES
        expect(known, f"Variable {name!r} from file 'user_nl_cpl' is not in the namelist definition.")
    continues = case.true("CONTINUE_RUN")
    start_type = "continue" if continues else case.get("RUN_TYPE").replace("hybrid", "startup")
    information = {
        "case_name": f'"{case.get("CASE")}"',
        "cime_model": '"e3sm"',
        "force_stop_at": '"month"',
        "start_type": f'"{start_type}"',
        "wall_time_limit": "-1.0",
        "hostname": f'"{case.get("MACH")}"',
    }
    information |= {name: ",".join(values) for name, values in given.items() if name != "end_restart"}
    time = {
        "calendar": '"NO_LEAP"',
        "atm_cpl_dt": str(86400 // case.number("ATM_NCPL")),
        "end_restart": given.get("end_restart", [".false."])[0],
        "start_tod": str(case.number("START_TOD")),
        "start_ymd": _start(case, case.get("RUN_STARTDATE")),
        "stop_option": f'"{case.get("STOP_OPTION")}"',
        "stop_n": case.get("STOP_N"),
        "restart_option": f'"{case.get("REST_OPTION")}"',
        "restart_n": case.get("REST_N"),
    }
    return {"drv_in": _namelist([("seq_infodata_inparm", information), ("seq_timemgr_inparm", time)])}, []


def write_log_names(case: Case, log_id: str) -> None:
    """The names of the logs of a run, which its components read."""
    for component in ("atm", "cpl", "lnd"):
        text = f'&modelio\n  diri = "{case.get("EXEROOT")}/{component}"\n  diro = "{case.get("RUNDIR")}"\n'
        text += f'  logfile = "{component}.log.{log_id}"\n/\n'
        (case.path("RUNDIR") / f"{component}_modelio.nml").write_text(text, encoding="utf-8")
