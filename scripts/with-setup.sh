#!/bin/sh
# Sets up what a task needs, then runs it: npm dependencies, the Debian packages that local clusters use, the bundles.
# A second run finds everything in place and starts at once.
set -eu
cd "$(dirname "$0")/.."
task=${1:?usage: with-setup.sh TASK [ARGUMENTS]}
shift

say() { printf '%s\n' "$*" >&2; }

# npm dependencies, Node 24 among them: as package-lock.json says, and again only when it changed. `npm ci` would demand
# that the registry has the packages of every platform; mirrors often keep only some.
lock=$(cksum <package-lock.json)
if [ "$(cat node_modules/.mesh-lock 2>/dev/null || true)" != "$lock" ]; then
  say "Installing npm dependencies (once)…"
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  printf '%s' "$lock" >node_modules/.mesh-lock
fi
PATH="$PWD/node_modules/.bin:$PATH"
export PATH

# Debian packages: each with the command that proves it and the reason for it.
need() {
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || {
    missing="${missing:-} $2"
    reasons="${reasons:-}  $2: $3
"
  }
}
case "$task" in
start | test | e2e | bench | profile | endurance)
  need iptables iptables "redirects the traffic of pods to their sidecars"
  need ip iproute2 "makes the networks of the local clusters"
  need unshare util-linux "makes the namespaces of the local clusters"
  [ "$(id -u)" = 0 ] || need newuidmap uidmap "gives local clusters their user ids without root"
  ;;
esac
case "$task" in
bench)
  need haproxy haproxy "a proxy that ours are measured beside"
  need nginx nginx "a proxy that ours are measured beside"
  need wrk wrk "makes HTTP/1 load"
  need h2load nghttp2-client "makes HTTP/2 load"
  ;;
profile)
  need perf linux-perf "samples the proxies"
  need wrk wrk "makes HTTP/1 load"
  need h2load nghttp2-client "makes HTTP/2 load"
  ;;
differential)
  need nginx nginx "counts the requests in what we forward to it"
  need haproxy haproxy "counts the requests in what we forward to it"
  need apache2 apache2-bin "counts the requests in what we forward to it"
  need lighttpd lighttpd "counts the requests in what we forward to it"
  need varnishd varnish "counts the requests in what we forward to it"
  need squid squid "counts the requests in what we forward to it"
  need h2o h2o "counts the requests in what we forward to it"
  need nghttpx nghttp2-proxy "counts the requests in what we forward to it"
  ;;
test)
  # Without them a test is skipped and says so, which the gate does not allow.
  if [ "${CI:-}" = true ]; then
    need nginx nginx "counts the requests in what we forward to it"
    need haproxy haproxy "counts the requests in what we forward to it"
  fi
  ;;
esac
if [ -n "${missing:-}" ]; then
  say "Debian packages are needed that are not here:"
  say "$reasons"
  if [ "$(id -u)" != 0 ]; then
    say "Install them, then try again:"
    say "  sudo apt-get install -y$missing"
    case "$task" in
    bench | differential) say "  sudo systemctl disable --now haproxy nginx …   # Debian starts what it installs" ;;
    esac
    exit 1
  fi
  say "Running: apt-get install -y$missing"
  if [ -t 0 ] && [ -t 2 ]; then
    say "(starts in 5 seconds; Ctrl-C stops it)"
    sleep 5
  fi
  export DEBIAN_FRONTEND=noninteractive
  # Debian starts the services that it installs, unless this file forbids it; it is there only meanwhile.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e "$policy" ]; then
    made=$policy
    trap 'rm -f "$made"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -qq >&2
  # shellcheck disable=SC2086 # a list of package names
  apt-get install -y -qq --no-install-recommends $missing >&2
  [ -z "$made" ] || rm -f "$made"
  trap - EXIT
fi

# The bundles that pods run, when a source is newer than they are.
if [ "$task" != lint ] && { [ ! -f dist/.built ] || [ "$task" = build ] ||
  [ -n "$(find packages services clusters charts cli scripts package-lock.json -newer dist/.built -type f \
    ! -name '*.test.ts' ! -path '*/node_modules/*' -print -quit)" ]; }; then
  say "Building…"
  node scripts/build.ts
  touch dist/.built
fi

case "$task" in
build) exit 0 ;;
bench) exec node bench/src/main.ts "$@" ;;
profile) exec node bench/src/profile-main.ts "$@" ;;
fuzz) exec node fuzz/src/main.ts "$@" ;;
h2spec) exec node --test-reporter=spec interop/src/h2spec-main.ts "$@" ;;
esac
exec node "scripts/$task.ts" "$@"
