# Three images from one file:
#   docker build .                  Airflow with our library, DAGs, plugins and mappings; nothing for development in it
#   docker build --target local .   the same plus the stand-ins for AWS and Slack and the sample data (docker-compose.yaml)
#   docker build --target search-api .   the search API: entities, mappings and its own packages; no Airflow
#
# The base is named by the digest of its index for all platforms: the same build tomorrow has the same base. To renew it:
# `docker buildx imagetools inspect python:3.11-slim-trixie`, then put the digest on both lines. This one is of 2026-08-16.

FROM python:3.11-slim-trixie@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS airflow

ENV AIRFLOW_HOME=/opt/airflow \
    SEARCHSYNC_INCLUDE=/opt/airflow/include \
    SEARCHSYNC_REPORTS=/opt/airflow/reports \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# The folders exist with their owner, so that a named volume mounted on one of them is writable. Airflow also writes its
# generated configuration into its home. The code below stays root's: a task cannot change it.
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir "$AIRFLOW_HOME" airflow \
    && install --directory --owner=airflow --group=0 --mode=0775 \
        "$AIRFLOW_HOME" "$AIRFLOW_HOME/logs" "$AIRFLOW_HOME/reports"
WORKDIR /opt/airflow

# The authorities of Amazon RDS, by which `sslmode=verify-full` knows the server. AWS adds to the file now and then; the
# build fails then, until somebody has looked at it and put its new digest here.
ADD --chmod=0444 --checksum=sha256:e5bb2084ccf45087bda1c9bffdea0eb15ee67f0b91646106e466714f9de3c7e3 \
    https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem /usr/local/share/ca-certificates/rds.pem

# Wheels only: no compiler in the image, and no code of a package runs while it is installed.
COPY requirements.txt ./
RUN pip install --only-binary :all: --require-hashes --requirement requirements.txt

COPY pyproject.toml /build/
COPY src /build/src
RUN pip install --no-deps --no-build-isolation /build && rm -r /build

COPY include ./include
# What an environment is to be like, which the DAG preflight holds against what is there.
COPY infra/environments.yaml ./infra/
COPY lambdas/stream/settings.json ./lambdas/stream/
# The pages and the pipeline that the DAG readiness looks at.
COPY docs/operations ./docs/operations
COPY .github/workflows ./.github/workflows
COPY plugins ./plugins
COPY dags ./dags

# On a read-only file system, the only place to write beside the reports. Fargate gives the volume that it mounts there to
# root alone, unless the image declares one; then it has the owner and mode that the folder has here.
VOLUME ["/tmp"]
USER 50000:0


FROM airflow AS local

USER 0:0
COPY requirements-dev.txt ./
RUN pip install --only-binary :all: --require-hashes --requirement requirements-dev.txt \
    && install --directory --owner=airflow --group=0 --mode=0775 /opt/airflow/slack
COPY lambdas ./lambdas
COPY local ./local
USER 50000:0


FROM python:3.11-slim-trixie@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS search-api

ENV SEARCHSYNC_INCLUDE=/opt/search-api/include \
    SEARCH_API_HOST=0.0.0.0 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONPATH=/opt/search-api/services:/opt/search-api/src \
    PYTHONUNBUFFERED=1

RUN useradd --uid 50000 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin search-api
WORKDIR /opt/search-api

COPY services/search_api/requirements.txt ./
RUN pip install --only-binary :all: --require-hashes --requirement requirements.txt

# All of it stays root's, and the service writes nothing but metrics below /tmp: it runs on a read-only file system. So
# the bytecode is made here.
COPY src ./src
COPY include ./include
COPY services ./services
RUN python -m compileall -q src services
USER 50000:50000
EXPOSE 8080
CMD ["python", "-m", "search_api"]


# The last stage is what a build without --target makes.
FROM airflow
