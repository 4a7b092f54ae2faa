# Serves, predicts, evaluates and exports on a CPU; does not train. From the repository's root:
#   docker build -f docker/serve.Dockerfile -t plankton-serve .
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# In the version of constraints.txt; tensorflow-cpu is `tensorflow` without the GPU kernels.
ARG TENSORFLOW=tensorflow-cpu
ARG EXTRAS="serve"
# An index other than pip's own comes with --build-arg; this stage is thrown away, so its address is in no image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
# The dependencies before the source: what is large changes with two small files only.
COPY setup.cfg constraints.txt docker/requirements.py ./
# KerasCV only augments training batches, and brings pyarrow and tensorflow-datasets; TensorFlow's headers only compile
# operators. Neither is of use here.
RUN python -m venv /opt/venv \
 && python requirements.py --tensorflow "${TENSORFLOW}" --extras "${EXTRAS}" --leave-out keras-cv > /requirements.txt \
 && /opt/venv/bin/pip install --no-cache-dir --requirement /requirements.txt --constraint constraints.txt \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include
COPY . .
RUN /opt/venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM ${BASE}
LABEL org.opencontainers.image.title="plankton-serve" \
      org.opencontainers.image.description="plankton_keras: service, prediction, evaluation and export on a CPU" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
# Without dependencies: those that were left out or replaced above stay so.
RUN --mount=type=bind,from=build,source=/dist,target=/dist \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
 && useradd --uid 1000 --no-create-home --home-dir /tmp plankton \
 && mkdir /data \
 && chown 1000:1000 /data
# For a read-only root: /tmp, a tmpfs, takes every cache, and bytecode is compiled already (by pip, above).
# HOME is one that every user can write to, since `--user` may name one that the image does not know.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["plankton"]
CMD ["--help"]
