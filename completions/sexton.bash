# bash completion for sexton. Made from the tables in src/cli.rs; `SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents`
# writes it anew.

_sexton() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local command='' flags='-c --config -g --group --rewrite --stop-on --drain --grace --wait -e --remap-exit -u --user --hold --hold-for --hold-file --hold-freeze --termination-message --termination-format --tail --health --socket --crash-dir -p --parent-death-signal -s --subreaper -w --warn-on-reap -v --verbose --log-level -h --help -V --version' valued='-c|--config|--rewrite|--stop-on|--drain|--grace|--wait|-e|--remap-exit|-u|--user|--hold|--hold-for|--hold-file|--termination-message|--termination-format|--tail|--health|--socket|--crash-dir|-p|--parent-death-signal|--log-level' words=commands at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "${COMP_WORDS[at]}" in
            --) [[ $command ]] || command=-- ;;
            -*) [[ $command || "|$valued|" != *"|${COMP_WORDS[at]}|"* ]] || ((at++)) ;;
            *)
                if [[ ! $command ]]; then
                    command=${COMP_WORDS[at]}
                elif [[ $command == inspect ]]; then
                    command="inspect ${COMP_WORDS[at]}"
                fi
                ;;
        esac
    done
    case "$command" in
        '') ;;
        inspect) flags='--help' valued='' words=inspections ;;
        'check') flags='--schema --kubernetes' valued='' words=files ;;
        'probe') flags='--timeout --header' valued='--timeout|--header' words=nothing ;;
        'status') flags='-w --watch --json --socket' valued='--socket' words=programs ;;
        'explain') flags='--json --socket' valued='--socket' words=programs ;;
        'logs') flags='-f --follow -n --lines --socket' valued='-n|--lines|--socket' words=programs ;;
        'start') flags='--dependents --json --socket' valued='--socket' words=programs ;;
        'stop') flags='--dependents --json --socket' valued='--socket' words=programs ;;
        'restart') flags='--dependents --json --socket' valued='--socket' words=programs ;;
        'signal') flags='--json --socket' valued='--socket' words=signals ;;
        'reload') flags='--json --socket' valued='--socket' words=nothing ;;
        'hold') flags='--json --socket' valued='--socket' words=switch ;;
        'release') flags='--restart --json --socket' valued='--socket' words=nothing ;;
        'inspect ps') flags='--json' valued='' words=nothing ;;
        'inspect env') flags='--json --reveal' valued='' words=pids ;;
        'inspect fds') flags='--json' valued='' words=pids ;;
        'inspect net') flags='--json' valued='' words=nothing ;;
        'inspect limits') flags='--json' valued='' words=pids ;;
        'inspect ls') flags='--json -a' valued='' words=files ;;
        'inspect cat') flags='' valued='' words=files ;;
        'inspect tail') flags='-n -f' valued='-n' words=files ;;
        'inspect crash') flags='--json --list -n' valued='-n' words=files ;;
        --) COMPREPLY=($(compgen -c -- "$word")); return ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    if [[ "|$valued|" == *"|$previous|"* ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
        return
    fi
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$flags --help" -- "$word"))
        return
    fi
    case "$words" in
        commands) COMPREPLY=($(compgen -W 'check probe status explain logs start stop restart signal reload hold release inspect' -- "$word") $(compgen -c -- "$word")) ;;
        inspections) COMPREPLY=($(compgen -W 'ps env fds net limits ls cat tail crash' -- "$word")) ;;
        programs) COMPREPLY=($(compgen -W "$(_sexton_programs)" -- "$word")) ;;
        signals) COMPREPLY=($(compgen -W "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP $(_sexton_programs)" -- "$word")) ;;
        switch) COMPREPLY=($(compgen -W 'on off' -- "$word")) ;;
        pids) COMPREPLY=($(compgen -W "$(cd /proc 2>/dev/null && echo [0-9]*) $(_sexton_programs)" -- "$word")) ;;
        files) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}

# The programs of the sexton that answers.
_sexton_programs() {
    "${COMP_WORDS[0]}" status --json 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d'"' -f4
}

complete -F _sexton sexton
