program="$CONVERSION_PATH/$CONVERTER_IMAGE"
if [ ! -x "$program" ]; then
    echo "ERROR: there is no converter $program that may run on $(hostname); run 'processor slurm init', or check that this node has the folder, and may run programs there" >&2
    exit 3
fi
# It has compared what it wrote with the image before the image goes.
converter=("$program" --compat biomero --remove-source)
