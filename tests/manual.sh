#!/bin/sh
# manual.sh VENTRAL FOLDER: every command has a page in ventral(1), and a page of its own in which
# each of its options is described, and no others.
set -eu
ventral=$1 pages=$2
failed=0
commands=$("$ventral" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ]
for command in $commands; do
    page=$pages/ventral-$command.1
    [ -f "$page" ] || { echo "no page $page"; failed=1; continue; }
    grep -q "^\.It Cm $command\$" "$pages/ventral.1" || { echo "ventral.1: no $command"; failed=1; }
    grep -q "^\.Xr ventral-$command 1" "$pages/ventral.1" || { echo "ventral.1: no link to $command"; failed=1; }
    offered=$("$ventral" "$command" --help | sed -n 's/^ *\(-., \)\{0,1\} *--\([a-z][a-z0-9-]*\).*/\2/p' | grep -v '^usage$' | sort -u)
    described=$(sed -n 's/^\.It .*Fl Fl \([a-z][a-z0-9-]*\).*/\1/p' "$page" | sort -u)
    [ "$offered" = "$described" ] && continue
    echo "$page: options of --help and options described differ: $(printf '%s\n%s' "$offered" "$described" |
        sort | uniq -u | tr '\n' ' ')"
    failed=1
done
exit $failed
