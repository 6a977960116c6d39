#!/bin/bash
# What the start-up scripts of a BIOMERO image leave behind, restated for comparison.
# Called in the image's root: as_the_scripts_do.sh internal|external NODE WORKER-ADDRESS MASTER-ADDRESS
set -eu
mode=$1 node=$2 worker=$3 master=$4

cp -R tmp/.ssh opt/omero/server/.ssh
chmod 700 opt/omero/server/.ssh
chmod 600 opt/omero/server/.ssh/*
chmod 644 opt/omero/server/.ssh/*.pub
chmod 644 opt/omero/server/.ssh/known_hosts

cd opt/omero/server/OMERO.server/etc
if [ "$mode" = internal ]; then
    sed -e "s/@omero.worker.host@/$worker/" -e "s/@worker.name@/$node/" <templates/worker.cfg >"$node.cfg"
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
    } >"$node.cfg"
fi
sed -e "s/@omero.master.host@/$master/" <templates/ice.config >ice.config
