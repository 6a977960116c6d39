#!/bin/bash
# What a worker's start-up scripts do between the container's start and icegridnode, restated for comparison:
# 50-config.py with three CONFIG_* variables, then 99-run.sh. Names are taken as resolved.
# Called with OMERODIR and PATH set; `icegridnode` on that PATH is whatever ends the measurement.
set -eu
omero load --glob "$OMERODIR/../config/*.omero"
omero config set -- omero.master.host "$CONFIG_omero_master_host"
omero config set -- omero.logging.level "$CONFIG_omero_logging_level"
omero config set -- omero.scripts.timeout "$CONFIG_omero_scripts_timeout"
cd "$OMERODIR/.."
sed -e "s/@omero.worker.host@/127.0.0.1/" -e "s/@worker.name@/$OMERO_WORKER_NAME/" \
    OMERO.server/etc/templates/worker.cfg >"OMERO.server/etc/$OMERO_WORKER_NAME.cfg"
sed -e "s/@omero.master.host@/127.0.0.1/" OMERO.server/etc/templates/ice.config >OMERO.server/etc/ice.config
exec omero node "$OMERO_WORKER_NAME" start --foreground
