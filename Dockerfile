# A BIOMERO worker: OMERO's server image, everything a Processor-0 for Slurm needs, and our `init` as its entrypoint.
#
#   docker build --build-arg BIOFORMATS2RAW_SHA256=… -t biomero-worker .
#
# Every version is a build argument; an empty one leaves the item out. What is downloaded by address is checked
# against a SHA-256 that you give; without one the build stops and says what it found. Builds with BuildKit and
# with the classic builder.

ARG BASE_IMAGE=openmicroscopy/omero-server:5.6.16
# Debian 11's C library is older than Rocky Linux 9's, so what is linked here also runs there. An image that holds a
# finished /out/init, /out/init-hooks, /out/processor and /out/convert (and a shell) may stand here instead: then nothing is
# compiled.
ARG BUILDER_IMAGE=rust:1.95-bullseye


FROM ${BUILDER_IMAGE} AS build
WORKDIR /source
COPY . .
RUN [ -x /out/init ] || { \
      cargo build --release --locked --package biomero-init \
      && mkdir -p /out && cp target/release/init /out/init; \
    }
# Another build, so that nothing of the compiler gets into process 1.
RUN [ -x /out/init-hooks ] || { \
      cargo build --release --locked --package biomero-hooks-compiler \
      && cp target/release/init-hooks /out/init-hooks; \
    }
RUN [ -x /out/processor ] || { \
      cargo build --release --locked --package biomero-processor \
      && cp target/release/processor /out/processor; \
    }
# Static, for the nodes of a cluster: the setting slurm.converter names it.
RUN [ -x /out/convert ] || { \
      target="$(uname -m)-unknown-linux-gnu" \
      && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" --package biomero-convert \
      && cp "target/$target/release/convert" /out/convert; \
    }


# biomero asks for psycopg2 itself, which comes as source only: compiled here, so that no compiler stays in the image.
FROM ${BASE_IMAGE} AS wheels
USER root
ARG PSYCOPG2_VERSION=2.9.9
ARG VIRTUAL_ENV=/opt/omero/server/venv3
COPY docker/install-packages.sh /tmp/
RUN mkdir -p /wheels \
    && if [ -n "$PSYCOPG2_VERSION" ]; then \
         /tmp/install-packages.sh wheels \
         && "$VIRTUAL_ENV/bin/python" -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels "psycopg2==$PSYCOPG2_VERSION"; \
       fi


FROM ${BASE_IMAGE}
USER root
ARG VIRTUAL_ENV=/opt/omero/server/venv3
ENV VIRTUAL_ENV=${VIRTUAL_ENV}

# System packages: "ssh" for the cluster, "postgresql" for the event store, "blosc" for OME-Zarr; "containers" (Apptainer) for a
# worker that runs jobs itself.
ARG SYSTEM_PACKAGES="ssh postgresql blosc"
COPY docker/install-packages.sh docker/fetch.sh /usr/local/libexec/biomero/
RUN [ -z "$SYSTEM_PACKAGES" ] || /usr/local/libexec/biomero/install-packages.sh $SYSTEM_PACKAGES

# The converter of everything Bio-Formats reads. Needs the Java that the base image has.
ARG BIOFORMATS2RAW_VERSION=0.7.0
ARG BIOFORMATS2RAW_SHA256=
ARG BIOFORMATS2RAW_URL=https://github.com/glencoesoftware/bioformats2raw/releases/download/v${BIOFORMATS2RAW_VERSION}/bioformats2raw-${BIOFORMATS2RAW_VERSION}.zip
RUN if [ -n "$BIOFORMATS2RAW_VERSION" ]; then \
      /usr/local/libexec/biomero/install-packages.sh download \
      && /usr/local/libexec/biomero/fetch.sh "$BIOFORMATS2RAW_URL" "$BIOFORMATS2RAW_SHA256" /tmp/bioformats2raw.zip \
      && unzip -q -d /opt /tmp/bioformats2raw.zip \
      && rm /tmp/bioformats2raw.zip \
      && ln -s "/opt/bioformats2raw-$BIOFORMATS2RAW_VERSION/bin/bioformats2raw" /usr/local/bin/bioformats2raw; \
    fi

# Ice for Python as a finished wheel, for a base image that lacks it. OMERO's own image has it, hence empty.
ARG ZEROC_ICE_WHEEL_URL=
ARG ZEROC_ICE_WHEEL_SHA256=
RUN if [ -n "$ZEROC_ICE_WHEEL_URL" ]; then \
      wheel="/tmp/${ZEROC_ICE_WHEEL_URL##*/}" \
      && /usr/local/libexec/biomero/install-packages.sh download \
      && /usr/local/libexec/biomero/fetch.sh "$ZEROC_ICE_WHEEL_URL" "$ZEROC_ICE_WHEEL_SHA256" "$wheel" \
      && "$VIRTUAL_ENV/bin/python" -m pip install --no-cache-dir "$wheel" \
      && rm "$wheel"; \
    fi

# BIOMERO and what its scripts import, in OMERO's own Python environment. `worker` is our own `biomero`, docs/python.md; a
# version is that of the library from PyPI, of which 2.0.0 goes with Python 3.9.
ARG BIOMERO_VERSION=worker
ARG OMERO_CLI_ZARR_VERSION=0.5.5
ARG EZOMERO_VERSION=1.1.1
ARG TIFFFILE_VERSION=2020.9.3
ARG OMERO_METADATA_VERSION=0.12.0
COPY --from=wheels /wheels /tmp/wheels
COPY python /tmp/biomero
RUN case "$BIOMERO_VERSION" in \
      worker) biomero=/tmp/biomero ;; \
      *) biomero="${BIOMERO_VERSION:+biomero==$BIOMERO_VERSION}" ;; \
    esac \
    && set -- \
      ${biomero:+"$biomero"} \
      ${OMERO_CLI_ZARR_VERSION:+"omero-cli-zarr==$OMERO_CLI_ZARR_VERSION"} \
      ${EZOMERO_VERSION:+"ezomero==$EZOMERO_VERSION"} \
      ${TIFFFILE_VERSION:+"tifffile==$TIFFFILE_VERSION"} \
      ${OMERO_METADATA_VERSION:+"omero-metadata==$OMERO_METADATA_VERSION"} \
    && if [ $# -gt 0 ]; then \
         "$VIRTUAL_ENV/bin/python" -m pip install --no-cache-dir --find-links /tmp/wheels "$@"; \
       fi \
    && rm -rf /tmp/wheels /tmp/biomero

# The Slurm configuration that every deployment starts from; OMERO.web's own file overrides it key by key.
COPY docker/slurm-config.ini /etc/slurm-config.ini
# The templates of a worker's own files, as every NL-BIOMERO worker has them.
COPY config/templates/worker.cfg docker/ice.config /opt/omero/server/OMERO.server/etc/templates/

COPY --from=build /out/init /out/init-hooks /out/processor /usr/local/bin/
# Not on the PATH, where ImageMagick's has the name.
COPY --from=build /out/convert /usr/local/lib/biomero/
# The `python` by which IceGrid's node starts the processor: `init` would make it, where it may write.
RUN mkdir -p /usr/local/lib/biomero/bin \
    && printf '%s\n' '#!/usr/local/bin/processor grid-python' > /usr/local/lib/biomero/bin/python \
    && chmod 0755 /usr/local/lib/biomero/bin /usr/local/lib/biomero/bin/python
# A site's own image puts its WebAssembly hooks where they are found and compiles them there, so that no start has to:
#   COPY hooks.d/ /etc/biomero/hooks.d/
#   RUN init-hooks compile --cache /var/cache/biomero/hooks /etc/biomero/hooks.d/*.wasm
# What the entrypoints of older images call leads to the same program, which then takes their command line.
# What calls `omero zarr` does so too, where the folder of the link is first on its PATH.
RUN ln -sf init /usr/local/bin/dumb-init && ln -sf init /usr/local/bin/tini \
    && ln -sf processor /usr/local/bin/omero-zarr && mkdir -p /usr/local/lib/biomero/omero-zarr \
    && ln -sf /usr/local/bin/processor /usr/local/lib/biomero/omero-zarr/omero \
    && mkdir -p /etc/biomero/init.d /etc/biomero/hooks.d /var/cache/biomero/hooks \
    && for folder in /run/biomero /var/lib/biomero /opt/omero/server/.ssh /opt/omero/server/tmp /opt/omero/server/omero; do \
         mkdir -p "$folder" && chown omero-server: "$folder" && chmod 0700 "$folder"; \
       done \
    && chown -R omero-server: /opt/omero/server/OMERO.server/etc

ARG ICE_HOME=/opt/ice-3.6.5-0.3.0
ENV OMERODIR=/opt/omero/server/OMERO.server PATH=${ICE_HOME}/bin:${VIRTUAL_ENV}/bin:${PATH}
USER omero-server
WORKDIR /opt/omero/server
# An external worker's node; an internal one takes any port.
EXPOSE 4062
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 CMD ["/usr/local/bin/init", "status", "--main"]
ENTRYPOINT ["/usr/local/bin/init"]
CMD []
