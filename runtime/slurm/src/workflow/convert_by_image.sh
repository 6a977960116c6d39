#%container%
image="$CONVERSION_PATH/$CONVERTER_IMAGE"
if [ ! -e "$image" ]; then
    echo "ERROR: there is no converter $image on $(hostname); run 'processor slurm init', or check that this node has the folder" >&2
    exit 3
fi
converter=("$runtime" run "$image")
