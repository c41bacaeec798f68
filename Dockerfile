ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm
# The gateway with the native app, without MongoDB, Node and tests. It runs as an unprivileged user, on a
# read-only root file system (--workers above 1 needs a writable /tmp for the counters that workers share).
FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1
COPY deploy/install-locked requirements.lock requirements-build.lock ./
RUN python -m venv /opt/build && sh install-locked /opt/build/bin/python requirements-build.lock \
    && python -m venv /opt/scribe-proxy && sh install-locked /opt/scribe-proxy/bin/python requirements.lock
COPY pyproject.toml README.md ./
COPY common common
COPY proxy proxy
COPY handlers handlers
COPY demo demo
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && sh install-locked /opt/scribe-proxy/bin/python requirements.lock dist/*.whl \
    && python -m compileall -q /opt/scribe-proxy/lib

FROM ${PYTHON_IMAGE}
# The commit of the image, by which reports distinguish native releases: --build-arg IMAGE_REVISION=$(git rev-parse --short HEAD)
ARG IMAGE_REVISION=
ENV IMAGE_REVISION=${IMAGE_REVISION}
RUN groupadd --system --gid 10001 scribe && useradd --system --uid 10001 --gid 10001 --no-create-home scribe
COPY --from=build /opt/scribe-proxy /opt/scribe-proxy
WORKDIR /etc/scribe-proxy
COPY routing.yaml ./
COPY contracts contracts
ENV PATH=/opt/scribe-proxy/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000 8001
# The ops listener beyond loopback needs OPS_TOKEN; its health checks do not.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/healthz', timeout=2)"]
ENTRYPOINT ["scribe-proxy", "serve", "--host", "0.0.0.0"]
CMD ["--config", "/etc/scribe-proxy/routing.yaml", "--ops-host", "0.0.0.0"]
