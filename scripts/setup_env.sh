# Sourced by the scripts beside it: makes the repository's .venv hold LossBench with the given extras, at the versions of constraints.txt.
# A stamp of what decides the environment makes every later call return at once.

prepare() { # prepare EXTRAS
    local root python stamp want
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    python=$root/.venv/bin/python
    stamp=$root/.venv/.lossbench-$1
    want=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)@$root
    [ -x "$python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
    echo "setting up $root/.venv (once)" >&2
    # A half-made environment is begun again; a finished one is only brought up to date.
    [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv --clear "$root/.venv" || return
    "$python" -m pip install --quiet --disable-pip-version-check --no-compile --constraint "$root/constraints.txt" --editable "$root[$1]" || return
    # pip would compile one file after another; this takes every core, and leaves out the packages' own tests. Some ship files that are
    # no Python of this version, which is their business: what cannot be compiled is compiled, or fails, where it is imported.
    "$python" -m compileall -qq -j 0 -x '/tests/' "$root"/.venv/lib/python*/site-packages || true
    echo "$want" >"$stamp"
}
