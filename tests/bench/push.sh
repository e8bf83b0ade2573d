# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# Push $FILE as $NAME with curl: hashed by $DIGEST first, then the calls that the module makes, one after the other.

set -eu
JSON="Content-Type: application/json"

call() {
    curl --silent --show-error --fail --cacert "$CA" --config "$LOGIN" "$@"
}

size=$(stat --format %s "$FILE")
sha256=$($DIGEST "$FILE" | sed 's/ .*//')
call "$SYSTEM" >/dev/null
call "$SYSTEM/backups" >/dev/null
operation="$SYSTEM/operations/$(cat /proc/sys/kernel/random/uuid)"
call --request PUT --header "$JSON" --data "{\"action\": \"upload\", \"name\": \"$NAME\", \"size\": $size, \"replace\": false}" \
    "$operation" >/dev/null
call "$operation?wait=25" >/dev/null
call --upload-file "$FILE" --header 'Content-Type: application/octet-stream' "$operation/content" >/dev/null
call --request PUT --header "$JSON" --data "{\"sha256\": \"$sha256\"}" "$operation/commit" >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    case $(call "$operation?wait=25") in *'"state": "succeeded"'*) break ;; esac
done
call "$SYSTEM/backups" | grep --quiet "\"name\": \"$NAME\", \"size\": $size}"
