#!/bin/sh
# Finds a Python for this checkout and has it run prepare.py. PYTHON=… in the environment picks one.
set -eu
cd "$(dirname "$0")/.."

# Tells on one line why an interpreter does not fit; prints nothing when it does. Must run on any Python 3.
probe='
import sys
newest = tuple(map(int, sys.argv[1].split("."))) if len(sys.argv) > 1 else None
version = sys.version_info[:2]
if version < (3, 11) or newest and version > newest:
    print("is version %d.%d" % version)
else:
    try:
        import ensurepip, venv
    except ImportError as error:
        print("%d.%d lacks its module %s (on Debian: apt-get install python%d.%d-venv)" % (version + (error.name,) + version))
'

tried=""
try() {
    if ! command -v "$1" >/dev/null 2>&1; then
        reason="not found"
    elif ! reason=$("$1" -c "$probe" ${2:+"$2"} 2>/dev/null); then
        reason="does not start"
    elif [ -z "$reason" ]; then
        exec "$1" scripts/prepare.py
    fi
    tried="$tried
  $1: $reason"
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
else
    # The versions that are tested come first; a newer one is better than none.
    for candidate in python3 python3.13 python3.12 python3.11; do
        try "$candidate" 3.13
    done
    already=$tried
    try python3
    tried=$already
fi
echo "This checkout needs Python 3.11 or newer (tested: 3.11 to 3.13) with its venv module. Tried:$tried" >&2
echo "Install one, or name one: make PYTHON=/path/to/python3" >&2
exit 1
