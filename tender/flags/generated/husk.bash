# Completions of husk for bash.

_husk() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} offer=(-W '')
    # bash separates a flag and its value at `=`.
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        offer=(-W 'run inspect check disk completions man help')
    else
        case ${COMP_WORDS[1]}:$before:$word in
            run:--memory:*|run:-m:*) offer=(-W '') ;;
            run:--memory-max:*) offer=(-W 'none') ;;
            run:--env:*|run:-e:*) offer=(-W '') ;;
            run:--env-file:*) offer=(-f) ;;
            run:--net:*) offer=(-W '') ;;
            run:--block:*) offer=(-f) ;;
            run:--files:*) offer=(-W '') ;;
            run:--mount:*) offer=(-f) ;;
            run:--publish:*|run:-p:*) offer=(-W '') ;;
            run:--allow:*) offer=(-W '') ;;
            run:--deny:*) offer=(-W '') ;;
            run:--dns:*) offer=(-W '') ;;
            run:--hostname:*) offer=(-W '') ;;
            run:--add-host:*) offer=(-W '') ;;
            run:--net-keepalive:*) offer=(-W 'off') ;;
            run:--net-idle:*) offer=(-W 'off') ;;
            run:--net-rate:*) offer=(-W '') ;;
            run:--block-rate:*) offer=(-W '') ;;
            run:--block-iops:*) offer=(-W '') ;;
            run:--target:*) offer=(-W 'hvt spt') ;;
            run:--stop-timeout:*) offer=(-W '') ;;
            run:--console:*) offer=(-W 'raw escaped') ;;
            run:--console-rate:*) offer=(-W '') ;;
            run:--cpu-limit:*) offer=(-W '') ;;
            run:--timeout:*) offer=(-W '') ;;
            run:--cpu:*) offer=(-W 'host baseline') ;;
            run:--user:*) offer=(-W '') ;;
            run:--status-file:*) offer=(-f) ;;
            run:*:-*) offer=(-W '--memory -m --memory-max --env -e --env-file --net --block --files --mount --publish -p --allow --deny --dns --hostname --add-host --no-host-files --net-keepalive --net-idle --net-rate --block-rate --block-iops --target --strict --no-aslr --stop-timeout --console --console-rate --cpu-limit --timeout --cpu --user --status-file --explain --json --verbose -v -h --help') ;;
            run:*) offer=(-f) ;;
            inspect:*:-*) offer=(-W '--json -h --help') ;;
            inspect:*) offer=(-f) ;;
            check:*:-*) offer=(-W '--json -h --help') ;;
            check:*) offer=(-W '') ;;
            disk:--from:*) offer=(-f) ;;
            disk:--label:*) offer=(-W '') ;;
            disk:*:-*) offer=(-W '--from --label -h --help') ;;
            disk:*) offer=(-f -W 'create') ;;
            completions:*:-*) offer=(-W ' -h --help') ;;
            completions:*) offer=(-W 'bash zsh fish') ;;
            man:*:-*) offer=(-W ' -h --help') ;;
            man:*) offer=(-W '') ;;
            help:*:-*) offer=(-W ' -h --help') ;;
            help:*) offer=(-W 'add-host allow block block-iops block-rate check completions console console-rate cpu cpu-limit deny disk dns env env-file explain files from help hostname inspect json label man memory memory-max mount net net-idle net-keepalive net-rate no-aslr no-host-files publish run status-file stop-timeout strict target timeout user verbose') ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen "${offer[@]}" -- "$word")
    [[ ${offer[0]} != -f ]] || compopt -o filenames 2> /dev/null
}
complete -F _husk husk
