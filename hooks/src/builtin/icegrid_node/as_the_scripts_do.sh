#!/bin/bash
# What a BIOMERO image's start-up scripts write into OMERO's etc/, restated for comparison.
# Called in an OMERO directory: as_the_scripts_do.sh internal|external NODE WORKER-ADDRESS MASTER-ADDRESS
set -eu
mode=$1 node=$2 worker=$3 master=$4
if [ "$mode" = internal ]; then
    sed -e "s/@omero.worker.host@/$worker/" -e "s/@worker.name@/$node/" <etc/templates/worker.cfg >"etc/$node.cfg"
else
    {
        echo "# OMERO worker configuration for external worker"
        echo "IceGrid.Node.Endpoints=tcp -h $worker -p 4062"
        echo "IceGrid.Node.Name=$node"
        echo "IceGrid.Node.Data=var/$node"
        echo "IceGrid.Node.Output=var/log"
        echo
        echo "Ice.StdOut=var/log/$node.out"
        echo "Ice.StdErr=var/log/$node.err"
    } >"etc/$node.cfg"
fi
sed -e "s/@omero.master.host@/$master/" <etc/templates/ice.config >etc/ice.config
