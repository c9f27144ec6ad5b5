# syntax=docker/dockerfile:1
# What retraining needs, TensorFlow included (2 GB). From the top of the tree:
#
#   docker build -f deploy/docker/trainer.Dockerfile -t filterd-trainer .
#   docker run --rm --read-only --tmpfs /tmp:size=4g -e HOME=/tmp --cap-drop ALL --security-opt no-new-privileges \
#       -v filterd-state:/var/lib/filterd -v ./filterd.toml:/etc/filterd/filterd.toml:ro \
#       -v /srv/filterd/corpora:/srv/filterd/corpora:ro -e FILTERD_DATA=/srv/filterd/corpora filterd-trainer
#
# Exit codes: docs/operations.md#retraining. The daemon's containers take over what is promoted in the shared state folder.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/trainer.lock requirements/trainer.lock
RUN python -m venv /opt/filterd/.venv \
    && /opt/filterd/.venv/bin/python -m pip -qq --disable-pip-version-check --no-cache-dir install --require-hashes -r requirements/trainer.lock
COPY pyproject.toml README.md LICENSE ./
COPY filterd filterd
COPY trainer trainer
RUN /opt/filterd/.venv/bin/python -m pip -qq --disable-pip-version-check --no-cache-dir install --no-deps --no-build-isolation . \
    && /opt/filterd/.venv/bin/python -m pip -qq uninstall --yes pip

FROM python:3.11-slim-bookworm
# The daemon's own number: it owns the models.
RUN groupadd --gid 10001 filterd \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/filterd --no-create-home --shell /usr/sbin/nologin filterd \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/filterd
COPY --from=build /opt/filterd /opt/filterd
ENV PATH=/opt/filterd/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /var/lib/filterd
# It runs and ends: whether it is alive is its exit code.
HEALTHCHECK NONE
CMD ["trainer", "retrain", "--config", "/etc/filterd/filterd.toml", "--jobs", "1"]
