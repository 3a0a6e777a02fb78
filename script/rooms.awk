# Order of the rooms under src/: each may include private headers of itself and of rooms before it;
# public headers include public and standard ones only, and the tests' and program's headers are
# nobody's.
BEGIN {
    count = split("base io ops backend graph models data stimuli train neural physiology synth " \
                  "report", rooms)
    for (i = 1; i <= count; i++)
        order[rooms[i]] = i
}

function bad(what) {
    printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, what
    failed = 1
}

FNR == 1 {
    split(FILENAME, part, "/")
    room = part[1] == "src" ? part[2] : ""
    if (room != "" && !(room in order)) {
        printf "%s: %s is no room\n", FILENAME, room
        failed = 1
    }
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    match($0, /"[^"]*"/)
    path = substr($0, RSTART + 1, RLENGTH - 2)
    if (path ~ /\.\./) {
        bad("no .. in includes")
        next
    }
    slash = index(path, "/")
    target = slash ? substr(path, 1, slash - 1) : ""
    if (target == "ventral" || (room != "" && (target == "" || target == room)))
        next
    if (room == "")
        bad("a public header includes a private one")
    else if (!(target in order))
        bad(target " is no room")
    else if (order[target] > order[room])
        bad(room " is above " target)
}

# Standard C only in public headers: no third party's types in the interface.
/^[ \t]*#[ \t]*include[ \t]*</ && room == "" && !/<(std(bool|def|int|io)|float|inttypes|limits)\.h>/ {
    bad("a public header includes more than standard C")
}

END { exit failed }
