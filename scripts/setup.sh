#!/usr/bin/env bash
# Makes .venv and fills it from a lock: `setup.sh run` what a night needs, `setup.sh dev` the checks and tests as well.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}
python=${PYTHON:-python3.11}

missing=()
command -v "$python" >/dev/null || missing+=(python3.11)
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3.11-venv)
# The tests start a PostgreSQL server of their own, in a folder of their own.
[ "$what" = run ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
# They also look at the staff page in a real browser.
[ "$what" = run ] || [ -x /usr/bin/chromium ] || missing+=(chromium fonts-dejavu-core)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "Missing system packages. As root, run this, then try again:" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi

case "$what" in
  run) lock=requirements.lock ;;
  dev) lock=requirements-dev.lock ;;
  *) echo "setup.sh: got '$what', expected 'run' or 'dev'" >&2; exit 2 ;;
esac
[ -x .venv/bin/python ] || "$python" -m venv .venv
bin=.venv/bin
echo "Installing from $lock (half a minute the first time) ..."
# pip installs uv, as the lock has it, and uv the rest in a fifth of pip's time. uv reads no settings of
# pip's: where an index is only in those, pip installs everything.
quietly() { "$@" 2> >(grep -v "is neither a file nor a directory" >&2); }
[ -x $bin/uv ] || quietly $bin/python -m pip install -q --disable-pip-version-check --require-hashes \
  -r <(sed -n '/^uv==/,/[^\\]$/p' "$lock")
export VIRTUAL_ENV=$PWD/.venv
$bin/uv pip install -q --require-hashes -r "$lock" ||
  quietly $bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
$bin/uv pip install -q --no-deps --no-build-isolation -e .
# A first start compiles what it imports; the programs that start at once later find it done.
PYTHONDONTWRITEBYTECODE='' $bin/python -c 'import rbcl, sandbox.main, outlet_client.main, server.office.main'
touch ".venv/.$what-ready"
[ "$what" = run ] || touch .venv/.run-ready
