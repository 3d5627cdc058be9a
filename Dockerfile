# Two targets: `api` is slim and has no torch; `worker` has torch with CUDA, and also runs on a CPU.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 zooaudit \
    && mkdir -p /var/lib/zooaudit /var/cache/zooaudit \
    && chown zooaudit:zooaudit /var/lib/zooaudit /var/cache/zooaudit
WORKDIR /srv/zooaudit
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY docs/method.md docs/method.md

FROM base AS api
COPY clients clients
COPY service service
# The lock pins what `service` and `worker` need, so it serves here as a list of constraints.
RUN sed -e 's/ *--hash=[^ ]*//g' -e 's/ *\\$//' requirements.lock > constraints.txt \
    && mkdir worker && touch worker/__init__.py \
    && pip install --constraint constraints.txt '.[service]' \
    && rm -r worker constraints.txt
USER 10001
ENV ZOOAUDIT_HOST=0.0.0.0 ZOOAUDIT_STORE=/var/lib/zooaudit
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "from urllib import request; request.build_opener(request.ProxyHandler({})).open('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "service"]

FROM base AS worker
# Triton compiles the kernels for GPUs with it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN pip install --require-hashes --requirement requirements.lock
COPY clients clients
COPY worker worker
RUN mkdir service && touch service/__init__.py \
    && pip install --no-deps . \
    && rm -r service
USER 10001
ENV HF_HOME=/var/cache/zooaudit/huggingface TORCH_HOME=/var/cache/zooaudit/torch XDG_CACHE_HOME=/var/cache \
    TRITON_CACHE_DIR=/var/cache/zooaudit/triton ZOOAUDIT_STORE=/var/lib/zooaudit
CMD ["python", "-m", "worker"]
