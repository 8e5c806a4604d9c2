# For sourcing: say, and pip_install VENV WHAT OPTION...
# pip's own words go to pip.log in .run. The person hears at least every ten seconds how far it is, and one sentence when
# it cannot be done.

say() { printf 'setup: %s\n' "$*" >&2; }

pip_install() {
    local venv=$1 what=$2 total=0 log=${BANKGW_RUN:-.run}/pip.log
    shift 2
    mkdir -p -m 700 "${BANKGW_RUN:-.run}"
    : >"$log"
    case $what in *.txt) total=$(grep -c '==' "$what") ;; esac
    if "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 \
            | tee "$log" | pip_progress "$total"; then
        return 0
    fi
    if grep -qE 'Temporary failure in name resolution|Name or service not known|NewConnectionError|Network is unreachable|No route to host|ConnectTimeout|ConnectionRefused|Read timed out|Could not fetch URL' "$log"; then
        say "cannot fetch the Python packages of $what: no package index answers; connect this machine to a network (or name an index in pip's settings) and run again"
    elif grep -qF 'No space left on device' "$log"; then
        say "cannot install the Python packages of $what: the disk is full"
    elif grep -qF 'DO NOT MATCH THE HASHES' "$log"; then
        say "a Python package is not the one that $what names by its hash; nothing of it was installed, see $log"
    elif grep -qE 'No matching distribution|from versions:' "$log"; then
        say "a package of $what has no ready-made file for this Python and machine: $(grep -m 1 -E 'No matching distribution' "$log" | sed 's/^ERROR: //')"
    else
        say "pip cannot install $what: $(grep -m 1 '^ERROR' "$log" | sed 's/^ERROR: //') (all of it: $log)"
    fi
    return 1
}

pip_progress() {
    local total=$1 line rc number=0 doing=starting said=$SECONDS began=$SECONDS
    while :; do
        rc=0
        IFS= read -r -t 5 line || rc=$?
        if [ $rc = 0 ]; then
            case $line in
                'Collecting '*) number=$((number + 1)); doing="fetching ${line#Collecting }"; doing=${doing%% (from*} ;;
                'Installing collected'*) number=$total; doing='unpacking all of them' ;;
            esac
        elif [ $rc -le 128 ]; then
            return 0
        fi
        if [ $((SECONDS - said)) -ge 5 ]; then
            said=$SECONDS
            if [ "$total" = 0 ]; then say "$doing, $((SECONDS - began)) s"; else say "Python package $number of $total: $doing, $((SECONDS - began)) s"; fi
        fi
    done
}
