#!/bin/sh
# Corrects the injected run of the embedded model by its own rates, window by window, and judges the 40 years after:
#   sh examples/corrections.sh results/default 4 corrected
set -eu
run=$1 windows=$2 output=$3
world=$run/world
files="--surface $world/surfdata.nc --params $world/clm_params.nc --soil-params $world/CNP_parameters.nc"
model="$files --domain $world/domain.lnd.nc --forcing $run/forcing/embedded/all.1901-1920.nc --mode normal --threads 2"
budget=$(python -c "import json; from phase_lib.elm.soil_budget import SOIL_FLUXES as names
print(json.dumps({'history_fields': names}))")
restart=$run/restart/ad.elm.r.0021-01-01-00000.nc year=21
for window in $(seq "$windows"); do
    here=$output/$window next=$((year + 20))
    mkdir -p "$here/restart"
    phase run-segment $model --case window --start-year $year --years 20 --finidat "$restart" \
        --spinup "$budget" --output-dir "$here"
    end=window.elm.r.$(printf %04d $next)-01-01-00000.nc
    phase correct --start "$restart" --end "$here/$end" --history "$here"/window.elm.h0.*.nc \
        --params $world/clm_params.nc --forcing-years 20 --output "$here/predictions.nc"
    restart=$here/restart/$end year=$next
    phase inject --restart "$here/$end" $files --predictions "$here/predictions.nc" --output "$restart"
done
phase run-segment $model --case judged --start-year $year --years 40 --finidat "$restart" --output-dir "$output/judged"
phase equilibrium --history "$output"/judged/judged.elm.h1.*.nc --forcing-years 20 --output "$output/verdict.json"
