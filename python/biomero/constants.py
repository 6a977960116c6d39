"""Names that the scripts, the dashboards and the client agree upon."""

from .later import re, uuid

IMAGE_EXPORT_SCRIPT = "_SLURM_Image_Transfer.py"
IMAGE_IMPORT_SCRIPT = "SLURM_Get_Results.py"
CONVERSION_SCRIPT = "SLURM_Remote_Conversion.py"
FILE_TRANSFER_SCRIPT = "_SLURM_File_Transfer.py"
RUN_WF_SCRIPT = "SLURM_Run_Workflow.py"
RUN_WF_BATCHED_SCRIPT = "SLURM_Run_Workflow_Batched.py"
LABELS_TO_ROIS_SCRIPT = "Labels2Rois.py"
# Colours that are told apart easily, one for a workflow run without one of its own.
QUALITATIVE_COLOR_SCHEME = (
    "#147EB3",
    "#29A634",
    "#D1980B",
    "#D33D17",
    "#9D3F9D",
    "#00A396",
    "#DB2C6F",
    "#8EB125",
    "#946638",
    "#7961DB",
)


def resolve_workflow_color(color_override, workflow_id):
    """The colour asked for, as ``#RRGGBB``; without one, a colour that follows from the run's id."""
    asked = str(color_override or "").strip().upper()
    if not asked:
        return QUALITATIVE_COLOR_SCHEME[uuid.UUID(str(workflow_id)).int % len(QUALITATIVE_COLOR_SCHEME)]
    if re.fullmatch("#[0-9A-F]{6}", asked) is None:
        raise ValueError(f"the colour {asked!r} is not #RRGGBB: correct it, or leave it empty")
    return asked


CLEANUP = "Cleanup?"


class slurm_env:
    """Variables of the environment that stand above slurm-config.ini."""

    BIOMERO_SLURM_CONFIG_FILE = "BIOMERO_SLURM_CONFIG_FILE"
    SQLALCHEMY_URL = "SQLALCHEMY_URL"
    BIOMERO_SACCT_START_TIME = "BIOMERO_SACCT_START_TIME"
    BIOMERO_SACCT_START_DAYS_AGO = "BIOMERO_SACCT_START_DAYS_AGO"
    BIOMERO_ENV_FILE_SUBMISSION = "BIOMERO_ENV_FILE_SUBMISSION"
    BIOMERO_INJECT_GPU_FLAG = "BIOMERO_INJECT_GPU_FLAG"
    BIOMERO_GPU_PARTITION = "BIOMERO_GPU_PARTITION"
    BIOMERO_GPU_GRES = "BIOMERO_GPU_GRES"
    BIOMERO_GPU_GPUS = "BIOMERO_GPU_GPUS"
    BIOMERO_DEFAULT_PARTITION = "BIOMERO_DEFAULT_PARTITION"
    BIOMERO_SLURM_ZIP_CMD = "BIOMERO_SLURM_ZIP_CMD"
    BIOMERO_IMAGE_PULL_VIA_SBATCH = "BIOMERO_IMAGE_PULL_VIA_SBATCH"
    BIOMERO_PULL_CPUS = "BIOMERO_PULL_CPUS"
    BIOMERO_PULL_MEM = "BIOMERO_PULL_MEM"
    BIOMERO_APPTAINER_TMPDIR = "BIOMERO_APPTAINER_TMPDIR"
    BIOMERO_APPTAINER_CACHEDIR = "BIOMERO_APPTAINER_CACHEDIR"
    BIOMERO_ANALYTICS_REBUILD_START_TIME = "BIOMERO_ANALYTICS_REBUILD_START_TIME"
    BIOMERO_ANALYTICS_REBUILD_DAYS_AGO = "BIOMERO_ANALYTICS_REBUILD_DAYS_AGO"
    GPU_PARTITION = "GPU_PARTITION"
    GPU_GRES = "GPU_GRES"
    GPU_GPUS = "GPU_GPUS"


class conversion:
    """Parameters of SLURM_Remote_Conversion."""

    INPUT_DATA = "Input data"
    SOURCE_FORMAT = "Source format"
    TARGET_FORMAT = "Target format"
    PARENT_WORKFLOW_ID = "Parent_Workflow_ID"


class workflow_batched:
    """Parameters of SLURM_Run_Workflow_Batched."""

    BATCH_SIZE = "Batch_Size"


class workflow:
    """Parameters of SLURM_Run_Workflow."""

    EMAIL = "E-mail"
    SELECT_IMPORT = "Select how to import your results (one or more)"
    OUTPUT_RENAME = "3c) Rename the imported images"
    OUTPUT_PARENT = "1) Zip attachment to parent"
    OUTPUT_ATTACH = "2) Attach to original images"
    OUTPUT_NEW_DATASET = "3a) Import into NEW Dataset"
    OUTPUT_NEW_SCREEN = "3a) Import into NEW Screen"
    OUTPUT_DUPLICATES = "3b) Allow duplicate dataset (name)?"
    OUTPUT_CSV_TABLE = "4) Upload result CSVs as OMERO tables"
    OUTPUT_ATTACH_FILE_OUTPUTS = "5) Attach individual non-image output files"
    OUTPUT_CREATE_ROIS = "6a) Create ROIs from label images"
    ROI_LABEL_PATTERN = "6b) Label image pattern"
    ROI_SHAPE = "6c) ROI shape"
    ROI_DELETE_LABEL_IMAGES = "6d) Delete label images after ROI creation"
    ROI_CLEAR_EXISTING = "6e) Clear existing ROIs on original images"
    ROI_CLEAR_FILTER = "6f) Clear existing ROI name filter"
    ROI_COLOR = "6g) ROI color override"
    NO = "--NO THANK YOU--"
    USE_ZARR_FORMAT = "Use_ZARR_Format"


class results:
    """Parameters of SLURM_Get_Results and SLURM_Import_Results."""

    OUTPUT_SLURM_JOB_ID = "SLURM Job Id"
    OUTPUT_COMPLETED_JOB = "Completed Job"
    WORKFLOW_UUID = "workflow_uuid"
    TASK_ID = "Task_ID"
    OUTPUT_ATTACH_PROJECT = "Output - Attach as zip to project?"
    OUTPUT_ATTACH_PROJECT_ID = "Project"
    OUTPUT_ATTACH_DATASET = "Output - Attach as zip to dataset?"
    OUTPUT_ATTACH_DATASET_ID = "Dataset_Attach"
    OUTPUT_ATTACH_PLATE = "Output - Attach as zip to plate?"
    OUTPUT_ATTACH_PLATE_ID = "Plate"
    OUTPUT_ATTACH_OG_IMAGES = "Output - Add as attachment to original images"
    OUTPUT_ATTACH_NEW_DATASET = "Output - Add as new images in NEW dataset"
    OUTPUT_ATTACH_NEW_DATASET_NAME = "New Dataset"
    OUTPUT_ATTACH_NEW_DATASET_DUPLICATE = "Allow duplicate?"
    OUTPUT_ATTACH_NEW_DATASET_RENAME = "Rename imported files?"
    OUTPUT_ATTACH_NEW_DATASET_RENAME_NAME = "Rename"
    OUTPUT_ATTACH_NEW_SCREEN = "Output - Add as new images in NEW screen"
    OUTPUT_ATTACH_NEW_SCREEN_NAME = "New Screen"
    OUTPUT_ATTACH_NEW_SCREEN_DUPLICATE = "Allow duplicate screen name?"
    OUTPUT_ATTACH_NEW_DATASET_ID = "Dataset_ID"
    OUTPUT_ATTACH_NEW_SCREEN_ID = "Screen_ID"
    OUTPUT_ATTACH_NEW_SCREEN_RENAME = "Rename imported screen files?"
    OUTPUT_ATTACH_NEW_SCREEN_RENAME_NAME = "Screen Rename"
    OUTPUT_ATTACH_TABLE = "Output - Add csv files as OMERO.table"
    OUTPUT_ATTACH_TABLE_DATASET = "Attach table to dataset"
    OUTPUT_ATTACH_TABLE_DATASET_ID = "Dataset for table"
    OUTPUT_ATTACH_TABLE_PLATE = "Attach table to plate"
    OUTPUT_ATTACH_TABLE_PLATE_ID = "Plate for table"
    OUTPUT_ATTACH_FILE_OUTPUTS_DATASET = "Attach file outputs to dataset"
    OUTPUT_ATTACH_FILE_OUTPUTS_DATASET_ID = "Dataset for file outputs"
    OUTPUT_ATTACH_FILE_OUTPUTS_PLATE = "Attach file outputs to plate"
    OUTPUT_ATTACH_FILE_OUTPUTS_PLATE_ID = "Plate for file outputs"
    IMPORT_LABEL_ZARRS = "Import_Label_Zarrs"
    IMPORT_ONLY_LABELS = "Import_Only_Labels"
    TEST_WRITE_PERMISSIONS_ONLY = "Test_Write_Permissions_Only"
    WORKFLOW_UUID_OUTPUT = "Workflow_UUID"
    OUTPUT_ATTACH_FILE_OUTPUTS = "Output - Attach non-image output files as annotations"
    OUTPUT_CREATE_ROIS = "Create_ROIs"
    ROI_LABEL_PATTERN = "ROI_Label_Pattern"
    ROI_SHAPE = "ROI_Shape"
    ROI_DELETE_LABEL_IMAGES = "ROI_Delete_Label_Images"
    ROI_NAME_PREFIX = "ROI_Name_Prefix"
    ROI_CLEAR_EXISTING = "ROI_Clear_Existing"
    ROI_CLEAR_FILTER = "ROI_Clear_Filter"
    ROI_COLOR = "ROI_Color"
    ROI_TARGET_IMAGE_IDS = "ROI_Target_Image_IDs"
    LOG_FALLBACK_TARGET = "Log_Fallback_Target"


class transfer:
    """Parameters of _SLURM_Image_Transfer."""

    DATA_TYPE = "Data_Type"
    DATA_TYPE_DATASET = "Dataset"
    DATA_TYPE_IMAGE = "Image"
    DATA_TYPE_PLATE = "Plate"
    DATA_TYPE_PROJECT = "Project"
    DATA_TYPE_SCREEN = "Screen"
    IDS = "IDs"
    SETTINGS = "Image settings (Required)"
    CHANNELS = "Export_Individual_Channels"
    CHANNELS_GREY = "Individual_Channels_Grey"
    CHANNELS_NAMES = "Channel_Names"
    MERGED = "Export_Merged_Image"
    Z = "Choose_Z_Section"
    Z_DEFAULT = "Default-Z (last-viewed)"
    Z_ALL = "ALL Z planes"
    Z_MAXPROJ = "Max projection"
    Z_OTHER = "Other (see below)"
    Z_IDX = "OR_specify_Z_index"
    Z_IDX_START = "OR_specify_Z_start_AND..."
    Z_IDX_END = "...specify_Z_end"
    T = "Choose_T_Section"
    T_DEFAULT = "Default-T (last-viewed)"
    T_ALL = "ALL T planes"
    T_OTHER = "Other (see below)"
    T_IDX = "OR_specify_T_index"
    T_IDX_START = "OR_specify_T_start_AND..."
    T_IDX_END = "...specify_T_end"
    ZOOM = "Zoom"
    ZOOM_25 = "25%"
    ZOOM_50 = "50%"
    ZOOM_100 = "100%"
    ZOOM_200 = "200%"
    ZOOM_300 = "300%"
    ZOOM_400 = "400%"
    FORMAT = "Format"
    FORMAT_TIFF = "TIFF"
    FORMAT_OMETIFF = "OME-TIFF"
    FORMAT_OMEZARR = "OME-ZARR"
    OME_VERSION = "OME-Zarr_version"
    OME_ZARR_VERSION_0_4 = "0.4"
    OME_ZARR_VERSION_0_5 = "0.5"
    OME_ZARR_VERSION_0_6 = "0.6"
    OME_ZARR_VERSION_1_0 = "1.0"
    FOLDER = "Folder_Name"
    FOLDER_DEFAULT = "SLURM_IMAGES_"


class file_transfer:
    """Parameters of _SLURM_File_Transfer."""

    FILE_ANNOTATION_ID = "Annotation_ID"
    PARAM_SLOT = "Param_Slot"
    FOLDER = "Folder_Name"
    FORMAT = "Allowed_Formats"


class workflow_status:
    """States of a workflow run, as its view shows them."""

    INITIALIZING = "INITIALIZING"
    TRANSFERRING = "TRANSFERRING"
    CONVERTING = "CONVERTING"
    RETRIEVING = "RETRIEVING"
    IMPORTING = "IMPORTING"
    IMPORTED = "IMPORTED"
    POSTPROCESSING = "POSTPROCESSING"
    DONE = "DONE"
    FAILED = "FAILED"
    RUNNING = "RUNNING"
    JOB_STATUS = "JOB_"


class schema_formats:
    """Kinds of workflow descriptor."""

    BIAFLOWS = "BIAFLOWS"
    CYTOMINE = "cytomine-0.1"
    BIOMERO_SCHEMA = "biomero-schema"
    BILAYERS = "BILAYERS"
    CWL = "CWL"
    OPENAPI = "OpenAPI"
