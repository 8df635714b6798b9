# Two stages: the first has Node.js and builds one wheel with the web UI inside, the second has only what runs.

FROM python:3.13-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt hatch_build.py README.md LICENSE ./
COPY webui ./webui
COPY node ./node
# Dependencies become wheels too, so that the second stage needs no compiler.
RUN pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels startalk-node \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin startalk \
    && install --directory --owner startalk --group startalk --mode 0700 /data
USER startalk
ENV STARTALK_DATA=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8443 8443/udp 8444/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["startalk", "doctor", "--quick"]
ENTRYPOINT ["startalk"]
CMD ["run"]
