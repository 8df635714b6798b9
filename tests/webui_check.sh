#!/bin/sh
# The checks of the web UI, one after the other: lint, types, unit tests, size budget, translations.
# They need what `make webui` installed; when the web UI was already built, its packages may be missing.
set -eu
cd "$(dirname "$0")/../webui"

if ! command -v npm >/dev/null 2>&1; then
    PATH="$(cd .. && pwd)/.venv/bin:$PATH"
    export PATH
fi
# npm leaves this file behind when an installation is complete.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund --silent
fi
# The budget measures what the last build left here.
[ -f dist/index.html ] || npm run --silent build
for script in lint check test budget i18n-check; do
    echo "startalk: web UI $script"
    npm run --silent "$script"
done
