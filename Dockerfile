# syntax=docker/dockerfile:1
#
# Two images: `server` (the default) and `loadtest`.
#
#   docker build --target server -t holdfast .
#   docker build --target loadtest -t holdfast-loadtest .
#
# Both run as a user without rights on a Debian that has nothing added but the programs. Its bash asks the
# server whether it is ready, so the image needs no curl, and an operator who has to look inside finds a shell.

FROM rust:1.95.0-slim-bookworm AS sources
# `yes`: train the server under load, as server/pgo does, which takes four times as long.
ARG HOLDFAST_TRAINED=no
RUN case $HOLDFAST_TRAINED in \
        yes) rustup component add llvm-tools \
            && apt-get update \
            && apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core wrk \
            && rm -rf /var/lib/apt/lists/* ;; \
        no) ;; \
        *) echo "HOLDFAST_TRAINED is yes or no, not $HOLDFAST_TRAINED" >&2; exit 1 ;; \
    esac
WORKDIR /holdfast
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY migrations migrations
COPY server server
COPY loadtest loadtest
COPY tests tests

FROM sources AS build-server
# What the server says it was built from.
ARG HOLDFAST_REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/holdfast/target,sharing=locked \
    if [ "$HOLDFAST_TRAINED" = yes ]; then \
        server/pgo && built=target/pgo/holdfast; \
    else \
        cargo build --release --locked --package holdfast --bin holdfast && built=target/release/holdfast; \
    fi \
    && install -D "$built" /built/holdfast

FROM sources AS build-loadtest
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/holdfast/target,sharing=locked \
    cargo build --release --locked --package holdfast-loadtest --bin holdfast-loadtest \
    && install -D target/release/holdfast-loadtest /built/holdfast-loadtest

# Of the same release of Debian as the compiler's image, for the C library.
FROM debian:12.12-slim AS base
# For databases whose certificates are signed by an authority that everybody knows.
COPY --from=sources /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/holdfast --shell /usr/sbin/nologin holdfast
WORKDIR /var/lib/holdfast
USER 10001:10001

# The harness, and a server for it to start, kill and judge when it is not aimed at another with --host.
FROM base AS loadtest
COPY --from=build-server /built/holdfast /usr/local/bin/holdfast
COPY --from=build-loadtest /built/holdfast-loadtest /usr/local/bin/holdfast-loadtest
# A volume that is mounted here belongs to the same user.
RUN mkdir reports
ENTRYPOINT ["holdfast-loadtest"]
CMD ["run"]

FROM base AS server
COPY --from=build-server /built/holdfast /usr/local/bin/holdfast
# Without a URL it would sell from an empty file that vanishes with the container.
ENV REQUIRE_DATABASE_URL=true \
    LISTEN_ADDR=0.0.0.0:8080 \
    LOG_FORMAT=json
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["bash", "-c", "at=${OPS_ADDR:-$LISTEN_ADDR}; exec 3<>/dev/tcp/127.0.0.1/${at##*:} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
ENTRYPOINT ["holdfast"]
CMD ["serve"]
