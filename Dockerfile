# One image for each service: docker build --target api|scheduler|worker|worker-gpu .
#
# The services run in place from /srv/quire; only `quire` and `quire_client` are installed, by reference to it.
# Which torch the worker gets is the package index's choice. With the default index it is the CUDA build, which
# runs on CPUs as well but is large: name an index of CPU builds with --build-arg PIP_EXTRA_INDEX_URL=….

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN groupadd --gid 10001 quire && useradd --uid 10001 --gid quire --no-create-home --home-dir /tmp quire
WORKDIR /srv/quire
# Dependencies first: a change of the code does not install them again. Empty packages stand in for the code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir quire quire_client && touch quire/__init__.py quire_client/__init__.py \
    && pip install -c constraints.txt -e '.[server]'
COPY alembic.ini ./
COPY migrations migrations
COPY quire_client quire_client
COPY quire quire

FROM base AS api
COPY api api
USER quire
EXPOSE 8000
# One process with many threads: requests wait, they do not compute. More processes are more containers.
ENTRYPOINT ["python", "-m", "gunicorn", "api.wsgi:app", "--worker-class=api.server.Worker", "--workers=1", \
    "--no-control-socket", "--worker-tmp-dir=/dev/shm"]
# Threads: QUIRE_MAX_WAITERS and 32 more.
CMD ["--bind=0.0.0.0:8000", "--threads=288", "--graceful-timeout=10"]
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD ["python", "-c", \
    "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8000, timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

FROM base AS scheduler
COPY scheduler scheduler
ENV QUIRE_METRICS_PORT=9100
USER quire
EXPOSE 9100
ENTRYPOINT ["python", "-m", "scheduler.main"]
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD ["python", "-c", \
    "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9100, timeout=3); c.request('GET', '/metrics'); sys.exit(c.getresponse().status != 200)"]

FROM base AS worker
ARG PIP_EXTRA_INDEX_URL=
RUN pip install -c constraints.txt -e '.[server,worker,music]'
# What the sound of tunes is made with; without them the other files are made all the same.
RUN apt-get update && apt-get install --yes --no-install-recommends fluidsynth timgm6mb-soundfont \
    && rm -rf /var/lib/apt/lists/*
COPY worker worker
# The kernels are compiled for several kinds of processor; the one that runs them takes its own.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && python -m worker.engine.native.build \
    && apt-get purge --yes --auto-remove gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY checkpoints checkpoints
ENV QUIRE_METRICS_PORT=9100 HF_HOME=/var/cache/quire
RUN install --directory --owner=quire --group=quire /var/cache/quire
VOLUME /var/cache/quire
USER quire
EXPOSE 9100
ENTRYPOINT ["python", "-m", "celery", "--app=worker.app:app", "--no-color", "--quiet", "worker", "--hostname=worker@%h", \
    "--pool=threads", "--without-gossip", "--without-mingle", "--without-heartbeat"]
# Concurrency: QUIRE_SLOTS and 4 more. Queue: quire.<model>.
CMD ["--concurrency=36", "--queues=quire.quire-english", "--loglevel=INFO"]
HEALTHCHECK --interval=5s --timeout=4s --start-period=120s CMD ["python", "-c", \
    "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9100, timeout=3); c.request('GET', '/metrics'); sys.exit(c.getresponse().status != 200)"]

# The same with the CUDA build, which brings its libraries along: only the driver is the host's.
FROM worker AS worker-gpu
ENV QUIRE_DEVICE=cuda
