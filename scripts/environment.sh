# Sourced by scripts/up and scripts/test: makes .venv and installs localllm into it, once.
# POSIX shell. Needs the Python package registry; a Python older than 3.11 is helped by uv.

localllm_say() { printf '%s\n' "$*" >&2; }

# A Python that will do: 3.11 to 3.14, able to make an environment.
localllm_find_python() {
    for candidate in "${LOCALLLM_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
            >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# uv, which brings a Python: from PATH, or installed by whatever old Python there is.
localllm_find_uv() {
    if command -v uv >/dev/null 2>&1; then
        command -v uv
        return 0
    fi
    command -v python3 >/dev/null 2>&1 || return 1
    localllm_say "this machine's Python is too old; installing uv to get a newer one ..."
    python3 -m pip install --quiet --target "$1/.venv-uv" uv >&2 || return 1
    printf '%s\n' "$1/.venv-uv/bin/uv"
}

localllm_make_venv() {
    root=$1
    # with pip, or it is one whose making was interrupted
    "$root/.venv/bin/python" -c 'import pip' 2>/dev/null && return 0
    if python=$(localllm_find_python); then
        localllm_say "making .venv with $("$python" --version 2>&1)"
        "$python" -m venv "$root/.venv"
    elif uv=$(localllm_find_uv "$root"); then
        localllm_say "making .venv with uv"
        "$uv" venv --quiet --seed --python '>=3.11,<3.15' "$root/.venv"
    else
        localllm_say "localllm needs Python 3.11 to 3.14."
        localllm_say "  why: there is none on PATH, and no uv to bring one"
        localllm_say "  fix: install Python 3.11 or newer (on Debian also python3-venv), or uv"
        return 1
    fi
}

# localllm_install ROOT EXTRAS: as a link to the checkout; again only when pyproject.toml changes.
localllm_install() {
    root=$1 extras=$2
    localllm_make_venv "$root"
    stamp="$root/.venv/localllm${extras:+-$extras}.stamp"
    wanted=$(cksum <"$root/pyproject.toml")
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return 0
    fi
    localllm_say "installing localllm${extras:+[$extras]} and what it needs (prebuilt packages) ..."
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$root${extras:+[$extras]}"
    printf '%s\n' "$wanted" >"$stamp"
}
