# One image for every process of the platform: Airflow's, the gateway's and `leo db init`.
FROM python:3.11.11-slim-bookworm AS builder

# Extra words for pip, for instance to take PyTorch's CPU build, a tenth of the size, from the place
# that PyTorch's "Get started" page names.
ARG PIP_ARGS=""

RUN python -m venv /opt/venv
COPY requirements.txt .
RUN /opt/venv/bin/pip install --no-cache-dir \
    ${PIP_ARGS} -r requirements.txt

FROM python:3.11.11-slim-bookworm

# torch needs OpenMP; tini passes signals on and reaps what Airflow's workers leave.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --create-home --shell /usr/sbin/nologin leo \
    && install --directory --owner leo /var/lib/leo /opt/leo

COPY --from=builder /opt/venv /opt/venv

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LEO_HOME=/var/lib/leo \
    LEO_PROJECT_ROOT=/opt/leo \
    AIRFLOW_HOME=/var/lib/leo/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/leo/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/leo/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    GX_ANALYTICS_ENABLED=false \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false

WORKDIR /opt/leo
COPY --chown=leo pyproject.toml ./
COPY --chown=leo include include
COPY --chown=leo dbt_project dbt_project
COPY --chown=leo dags dags
COPY --chown=leo plugins plugins
# Editable: Airflow loads the same files from plugins/, so there is never a second copy to drift.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

USER leo
VOLUME /var/lib/leo
ENTRYPOINT ["tini", "--"]
CMD ["airflow", "version"]
