# Trains on an NVIDIA GPU; the CUDA libraries are Python wheels, so the host brings only the driver. From the repository's root:
#   docker build -f docker/train.Dockerfile -t plankton-train .
#   docker build -f docker/train.Dockerfile -t plankton-train --build-arg TENSORFLOW=tensorflow-cpu .   (no GPU, no CUDA)
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# Which TensorFlow, in the version of constraints.txt; which extras of setup.cfg, between commas.
ARG TENSORFLOW=tensorflow[and-cuda]
ARG EXTRAS=""
# An index other than pip's own comes with --build-arg; this stage is thrown away, so its address is in no image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
# The dependencies before the source: gigabytes that change with two small files only.
COPY setup.cfg constraints.txt docker/requirements.py ./
RUN python -m venv /opt/venv \
 && python requirements.py --tensorflow "${TENSORFLOW}" --extras "${EXTRAS}" > /requirements.txt \
 && /opt/venv/bin/pip install --no-cache-dir --requirement /requirements.txt --constraint constraints.txt
COPY . .
RUN /opt/venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM ${BASE}
LABEL org.opencontainers.image.title="plankton-train" \
      org.opencontainers.image.description="plankton_keras: training on whole ZooScan scans" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
# Without dependencies: those that were left out or replaced above stay so.
RUN --mount=type=bind,from=build,source=/dist,target=/dist \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
 && useradd --uid 1000 --no-create-home --home-dir /tmp plankton \
 && mkdir /data \
 && chown 1000:1000 /data
# HOME is one that every user can write to, since `--user` may name one that the image does not know.
# The two NVIDIA settings are for hosts whose default runtime is nvidia.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["plankton"]
CMD ["--help"]
