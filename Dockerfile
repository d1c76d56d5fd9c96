# syntax=docker/dockerfile:1
# SPDX-License-Identifier: Apache-2.0
# umed without a GPU; see docs/install.md. Build: docker build -t umed .
# Run: docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" umed protect IN OUT
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
# The CPU builds of torch: the plain ones for Linux bring several gigabytes of CUDA along.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/umed
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY umed umed
RUN /opt/umed/bin/pip install -c constraints.txt '.[dicom,unlock]'

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 10001 umed
COPY --from=build /opt/umed /opt/umed
ENV PATH=/opt/umed/bin:$PATH
# Whoever runs it as another user (--user) has no home; what libraries want to keep goes to /tmp.
ENV HOME=/tmp
USER 10001
WORKDIR /data
HEALTHCHECK --interval=60s --timeout=30s --start-period=30s CMD ["umed", "info", "--json"]
ENTRYPOINT ["umed"]
CMD ["--help"]
