#!/bin/sh
# headers.sh CC INCLUDE_DIR HEADER...: each header must compile alone as C17 and as C++17.
set -eu
cc=$1 include=$2
shift 2
for header in "$@"; do
    for language in c17 c++17; do
        printf '#include "%s"\n' "$header" |
            "$cc" -std=$language -Wall -Wextra -Werror -fsyntax-only -I "$include" \
                -x "$(echo $language | tr -d 17)" -
    done
done
echo "$# headers compile alone"
