# Completions of husk for fish.

# True if the words so far are husk and one of the arguments, or husk alone without any.
function __husk
    set -l words (commandline -opc)
    if set -q argv[1]
        contains -- "$words[2]" $argv
    else
        test (count $words) -eq 1
    end
end

complete -c husk -n __husk -f -a run -d 'Run an image; the exit status is the guest\'s'
complete -c husk -n '__husk run' -l memory -s m -x -d 'Guest memory, such as 64M or 2G; default: what the image asks for, up to --memory-max'
complete -c husk -n '__husk run' -l memory-max -x -a 'none' -d 'Refuse an image that asks for more, unless --memory says what it gets; default: 512M'
complete -c husk -n '__husk run' -l env -s e -x -d 'Set an environment variable of the guest; NAME alone passes on husk\'s own, for secrets; may be repeated'
complete -c husk -n '__husk run' -l env-file -r -F -d 'Set those of a file with a line NAME=VALUE or NAME for each; --env takes precedence; may be repeated'
complete -c husk -n '__husk run' -l net -x -d 'Attach a network: user, tap:INTERFACE, fd:NUMBER or passt:SOCKET; may be repeated'
complete -c husk -n '__husk run' -l block -r -F -d 'Attach a disk, a file or block device; also ,sector=4096 ,direct; may be repeated'
complete -c husk -n '__husk run' -l files -x -d 'Show the guest a directory or file of the host at this place; with :ro, to read only; also :cache=never; may be repeated'
complete -c husk -n '__husk run' -l mount -r -F -d 'Show the guest the ext4 file system of this disk here; with :ro, to read only; may be repeated'
complete -c husk -n '__husk run' -l publish -s p -x -d 'Forward a port of the host, by default of 127.0.0.1, to the guest; may be repeated'
complete -c husk -n '__husk run' -l allow -x -d 'Let the guest connect to this, and only to what is allowed; may be repeated'
complete -c husk -n '__husk run' -l deny -x -d 'Do not let the guest connect to this; may be repeated'
complete -c husk -n '__husk run' -l dns -x -d 'Look up names at this name server, in place of the host\'s; up to three, in this order; may be repeated'
complete -c husk -n '__husk run' -l hostname -x -d 'Name of the guest, for uname and hostname; default: husk'
complete -c husk -n '__husk run' -l add-host -x -d 'Add a name to /etc/hosts of the guest; the address may be host-gateway, the host\'s; may be repeated'
complete -c husk -n '__husk run' -l no-host-files -d 'Do not show the guest any file of the host: names, search domains, certificates, time zones'
complete -c husk -n '__husk run' -l net-keepalive -x -a 'off' -d 'Ask a peer that is silent for this time if it is still there; default: 60s'
complete -c husk -n '__husk run' -l net-idle -x -a 'off' -d 'End a connection in which nothing moves for this time; default: 124m'
complete -c husk -n '__husk run' -l net-rate -x -d 'Limit the bytes a second that a network sends, and those that it receives, such as 10M; may be repeated'
complete -c husk -n '__husk run' -l block-rate -x -d 'Limit the bytes a second that a disk reads and writes, such as 100M; may be repeated'
complete -c husk -n '__husk run' -l block-iops -x -d 'Limit the requests a second that a disk carries out, such as 1000; may be repeated'
complete -c husk -n '__husk run' -l target -x -a 'hvt spt' -d 'Run in a virtual machine or in a process; default: $HUSK_TARGET, else in a machine where there is KVM'
complete -c husk -n '__husk run' -l strict -d 'Refuse a host that protects less than others: no KVM, no filter of MSRs, none or an old Landlock'
complete -c husk -n '__husk run' -l no-aslr -d 'Load a relocatable image at the same address every time'
complete -c husk -n '__husk run' -l stop-timeout -x -d 'Time that the guest has to end after SIGTERM or SIGINT; default: 10'
complete -c husk -n '__husk run' -l console -x -a 'raw escaped' -d 'Show what the guest prints as it is, or with control characters as text; default: raw'
complete -c husk -n '__husk run' -l console-rate -x -d 'Limit the bytes a second that the guest prints, such as 64K'
complete -c husk -n '__husk run' -l cpu-limit -x -d 'Limit the share of a processor that the guest, husk included, uses, such as 50%'
complete -c husk -n '__husk run' -l timeout -x -d 'Have the guest end after this time, such as 90s, as by SIGTERM; exit status 124'
complete -c husk -n '__husk run' -l cpu -x -a 'host baseline' -d 'Features of the processor that a std program finds; baseline: x86-64-v2, on any host; default: host'
complete -c husk -n '__husk run' -l user -x -d 'Change to this user once everything is open; takes root'
complete -c husk -n '__husk run' -l status-file -r -F -d 'Record how the run ended, in a line of JSON that the guest cannot forge'
complete -c husk -n '__husk run' -l explain -d 'Show what the guest and husk itself may do, call by call, and do not run it'
complete -c husk -n '__husk run' -l json -d 'With --explain: print one line of JSON instead of a table'
complete -c husk -n '__husk run' -l verbose -s v -d 'Print what the guest does: unanswered system calls, exits, times'
complete -c husk -n '__husk run' -F
complete -c husk -n __husk -f -a inspect -d 'Show what an image is'
complete -c husk -n '__husk inspect' -l json -d 'Print one line of JSON instead of a table'
complete -c husk -n '__husk inspect' -F
complete -c husk -n __husk -f -a check -d 'Show what this host offers'
complete -c husk -n '__husk check' -l json -d 'Print one line of JSON instead of a table'
complete -c husk -n '__husk check' -f
complete -c husk -n __husk -f -a disk -d 'Make a disk with a file system for `--block`'
complete -c husk -n '__husk disk' -l from -r -F -d 'Copy the contents of this directory onto the disk'
complete -c husk -n '__husk disk' -l label -x -d 'Name of the file system, at most 16 bytes'
complete -c husk -n '__husk disk' -F -a 'create'
complete -c husk -n __husk -f -a completions -d 'Print completions for a shell'
complete -c husk -n '__husk completions' -f -a 'bash zsh fish'
complete -c husk -n __husk -f -a man -d 'Print the manual page, for `husk man | man -l -`'
complete -c husk -n '__husk man' -f
complete -c husk -n __husk -f -a help -d 'Explain a command or a flag'
complete -c husk -n '__husk help' -f -a 'add-host allow block block-iops block-rate check completions console console-rate cpu cpu-limit deny disk dns env env-file explain files from help hostname inspect json label man memory memory-max mount net net-idle net-keepalive net-rate no-aslr no-host-files publish run status-file stop-timeout strict target timeout user verbose'
