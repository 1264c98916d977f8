"""The XML variables of a case: where each stands, its type, what it begins with, and what it may be.

Files, groups, types and defaults are those of E3SM; only the variables that a land-only case is steered by
are here. A default may name other variables ($NAME), which are resolved when a value is asked for.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Variable(NamedTuple):
    """An XML variable: its file, group, type, value of a new case, and valid values ("" any)."""

    file: str
    group: str
    type: str
    default: str
    valid: str = ""


COMPONENTS = ("CPL", "ATM", "LND", "ICE", "OCN", "ROF", "GLC", "WAV", "IAC", "ESP")
JOBS = ("case.build", "case.run", "case.post_run_io", "case.st_archive")
_OPTIONS = (
    "none,never,nsteps,nstep,nseconds,nsecond,nminutes,nminute,nhours,nhour,ndays,nday,nmonths,nmonth,"
    "nyears,nyear,date,ifdays0,end"
)
_MODES = (
    "CORE2_NYF,CORE2_IAF,CLM_QIAN,CLM_QIAN_WISO,CLM1PT,CLMCRUNCEP,CLMCRUNCEPv7,CLMGSWP3v1,uELM_NA,uELM_TES,"
    "ELMERA5,ERA56HR,ELMGSWP3w5e5,CLMMOSARTTEST,CLMNLDAS2,CPLHIST,E3SMWCv2,CPLWCH,CORE_IAF_JRA,IAF_JRA_1p5,"
    "CORE_IAF_JRA_1p4_2018,CORE_RYF8485_JRA,CORE_RYF9091_JRA,CORE_RYF0304_JRA,CFSv2,CFSR"
)
#: Name, type, default and valid values, by file and group, in the order of the files.
_TABLE = f"""
env_case case_last COMPSET char
env_case case_der MODEL char e3sm
env_case case_der CASETOOLS char $CASEROOT/Tools
env_case case_der CASEBUILD char $CASEROOT/Buildconf
env_case case_comp COMP_CLASSES char {",".join(COMPONENTS)}
env_case case_comp COMP_ATM char datm
env_case case_comp COMP_LND char elm
env_case case_comp COMP_ROF char mosart
env_case case_def CASEROOT char
env_case case_def CIMEROOT char
env_case case_def SRCROOT char
env_case case_def CASE char
env_case case_def MACH char
env_case case_def MACHDIR char
env_case case_def EXTRA_MACHDIR char
env_case case_desc USER char $ENV{{USER}}
env_case case_desc REALUSER char $ENV{{USER}}
env_build build_grid GRID char
env_build build_grid ATM_GRID char
env_build build_grid ATM_NX integer 0
env_build build_grid ATM_NY integer 0
env_build build_grid LND_GRID char
env_build build_grid LND_NX integer 0
env_build build_grid LND_NY integer 0
env_build build_grid MASK_GRID char reg
env_build build_def CIME_OUTPUT_ROOT char
env_build build_def EXEROOT char $CIME_OUTPUT_ROOT/$CASE/bld
env_build build_def CALENDAR char NO_LEAP NO_LEAP,GREGORIAN
env_build build_def COMP_INTERFACE char moab mct,nuopc,moab
env_build build_def DEBUG logical FALSE TRUE,FALSE
env_build build_def BUILD_THREADED logical FALSE TRUE,FALSE
env_build build_macros OS char LINUX
env_build build_macros COMPILER char
env_build build_macros MPILIB char
env_build build_macros PIO_VERSION integer 2 1,2
env_build build_status BUILD_COMPLETE logical FALSE TRUE,FALSE
env_build build_status BUILD_STATUS integer 0 0,1,2
env_build build_component_elm ELM_CONFIG_OPTS char
env_build build_component_mosart MOSART_MODE char ACTIVE ACTIVE,NULL
env_mach_pes mach_pes_last COST_PES integer 0
env_mach_pes mach_pes_last TOTALPES integer 0
env_mach_pes mach_pes_last MAX_TASKS_PER_NODE integer 0
env_mach_pes mach_pes_last MAX_MPITASKS_PER_NODE integer 0
env_mach_pes mach_pes_last COSTPES_PER_NODE integer $MAX_MPITASKS_PER_NODE
env_mach_pes mach_pes NTASKS component -1
env_mach_pes mach_pes NTHRDS component 1
env_mach_pes mach_pes ROOTPE component 0
env_mach_pes mach_pes NINST component 1
env_mach_pes mach_pes PSTRID component 1
env_run run_desc CASESTR char UNSET
env_run run_desc RUNDIR char $CIME_OUTPUT_ROOT/$CASE/run
env_run run_begin_stop_restart RUN_TYPE char startup startup,hybrid,branch
env_run run_begin_stop_restart RUN_REFDIR char cesm2_init
env_run run_begin_stop_restart RUN_REFCASE char case.std
env_run run_begin_stop_restart RUN_REFDATE char 0001-01-01
env_run run_begin_stop_restart RUN_REFTOD char 00000
env_run run_begin_stop_restart GET_REFCASE logical FALSE TRUE,FALSE
env_run run_begin_stop_restart RUN_STARTDATE char 0001-01-01
env_run run_begin_stop_restart START_TOD integer 0
env_run run_begin_stop_restart STOP_OPTION char ndays {_OPTIONS}
env_run run_begin_stop_restart STOP_N integer 5
env_run run_begin_stop_restart STOP_DATE integer -999
env_run run_begin_stop_restart REST_OPTION char $STOP_OPTION {_OPTIONS}
env_run run_begin_stop_restart REST_N integer $STOP_N
env_run run_begin_stop_restart REST_DATE char $STOP_DATE
env_run run_begin_stop_restart CONTINUE_RUN logical FALSE TRUE,FALSE
env_run run_begin_stop_restart RESUBMIT integer 0
env_run run_begin_stop_restart RESUBMIT_SETS_CONTINUE_RUN logical TRUE TRUE,FALSE
env_run run_begin_stop_restart JOB_IDS char
env_run run_data_archive DOUT_S logical FALSE TRUE,FALSE
env_run run_data_archive DOUT_S_SAVE_INTERIM_RESTART_FILES logical TRUE TRUE,FALSE
env_run build_def GMAKE char make
env_run build_def GMAKE_J integer 1
env_run run_flags CHECK_TIMING logical TRUE TRUE,FALSE
env_run run_flags SAVE_TIMING logical TRUE TRUE,FALSE
env_run run_flags BFBFLAG logical TRUE TRUE,FALSE
env_run run_flags INFO_DBUG integer 1 0,1,2,3
env_run run_domain PTS_MODE logical FALSE TRUE,FALSE
env_run run_domain PTS_LAT real -999.99
env_run run_domain PTS_LON real -999.99
env_run run_domain ATM_DOMAIN_FILE char domain.lnd.${{ELM_USRDAT_NAME}}_navy.nc
env_run run_domain ATM_DOMAIN_PATH char $DIN_LOC_ROOT/share/domains/domain.clm
env_run run_domain LND_DOMAIN_FILE char domain.lnd.${{ELM_USRDAT_NAME}}_navy.nc
env_run run_domain LND_DOMAIN_PATH char $DIN_LOC_ROOT/share/domains/domain.clm
env_run run_domain ROF_DOMAIN_FILE char UNSET
env_run run_domain ROF_DOMAIN_PATH char $DIN_LOC_ROOT/share/domains
env_run run_din DIN_LOC_ROOT char
env_run run_din DIN_LOC_ROOT_CLMFORC char
env_run run_dout DOUT_S_ROOT char
env_run run_mpi MPI_RUN_COMMAND char UNSET
env_run run_pio PIO_NETCDF_FORMAT component 64bit_data
env_run run_pio PIO_NUMTASKS component -99
env_run run_pio PIO_STRIDE component 4
env_run run_pio PIO_TYPENAME component pnetcdf
env_run run_coupling CCSM_BGC char none none,CO2A,CO2A_OI,CO2B,CO2C,CO2C_OI,CO2_DMSA
env_run run_coupling NCPL_BASE_PERIOD char day hour,day,year,decade
env_run run_coupling ATM_NCPL integer 48
env_run run_coupling LND_NCPL integer $ATM_NCPL
env_run run_coupling ROF_NCPL integer 8
env_run run_drv_history HIST_OPTION char never {_OPTIONS}
env_run run_drv_history HIST_N integer -999
env_run external_tools PRERUN_SCRIPT char
env_run external_tools POSTRUN_SCRIPT char
env_run external_tools DATA_ASSIMILATION_SCRIPT char
env_run external_tools EXTERNAL_WORKFLOW logical FALSE TRUE,FALSE
env_run run_budgets BUDGETS logical FALSE TRUE,FALSE
env_run run_co2 CCSM_CO2_PPMV real 284.7
env_run run_component_datm DATM_MODE char CLM_QIAN {_MODES}
env_run run_component_datm DATM_PRESAERO char clim_1850 none,clim_1850,clim_2000,clim_2010,trans_1850-2000
env_run run_component_datm DATM_TOPO char observed none,observed,cplhist,e3smwcv2,cplwch
env_run run_component_datm DATM_CO2_TSERIES char none none,20tr,20tr.latbnd,omip
env_run run_component_datm DATM_CLMNCEP_YR_ALIGN integer 1
env_run run_component_datm DATM_CLMNCEP_YR_START integer 1948
env_run run_component_datm DATM_CLMNCEP_YR_END integer 1972
env_run run_component_elm ELM_NML_USE_CASE char 1850_control
env_run run_component_elm ELM_BLDNML_OPTS char
env_run run_component_elm ELM_CO2_TYPE char constant constant,diagnostic,prognostic
env_run run_component_elm ELM_NAMELIST_OPTS char
env_run run_component_elm ELM_ACCELERATED_SPINUP char off on,off
env_run run_component_elm ELM_USRDAT_NAME char UNSET
env_run run_component_elm ELM_FORCE_COLDSTART char off on,off
env_workflow jobs CHARGE_ACCOUNT char
env_workflow jobs PROJECT char
env_workflow jobs JOB_WALLCLOCK_TIME char
env_workflow jobs JOB_QUEUE char
env_workflow jobs USER_REQUESTED_WALLTIME char
env_workflow jobs USER_REQUESTED_QUEUE char
env_workflow jobs prereq char
env_batch config_batch BATCH_SYSTEM char none
env_batch job_submission PROJECT_REQUIRED logical FALSE TRUE,FALSE
"""


def _parsed() -> dict[str, Variable]:
    table = {}
    for line in _TABLE.strip().splitlines():
        file, group, name, kind, *rest = line.split(" ")
        table[name] = Variable(file, group, kind, *rest, *("" for _ in range(1 - len(rest))))
    return table


#: All variables by name. Of the kind `component` there is one value for each component, and of the group
#: `jobs` one for each job.
VARIABLES = _parsed()
FILES = tuple(dict.fromkeys(variable.file for variable in VARIABLES.values()))
#: Computed from the layout of the tasks; they cannot be set.
DERIVED = (
    "THREAD_COUNT", "TOTAL_TASKS", "TASKS_PER_NODE", "NUM_NODES", "SPARE_NODES", "TASKS_PER_NUMA",
    "CORES_PER_TASK",
)  # fmt: skip
#: Those whose value in a whole case depends on the mode of its forcing.
REFERENCE = re.compile(r"\$ENV\{(\w+)\}|\$\{(\w+)\}|\$(\w+)")


def component_of(name: str) -> tuple[str, str]:
    """A variable and the component that its name ends with: NTASKS_LND is NTASKS of LND."""
    stem, _, component = name.rpartition("_")
    if component in COMPONENTS and stem in VARIABLES and VARIABLES[stem].type == "component":
        return stem, component
    return name, ""
