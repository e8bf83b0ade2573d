# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# Fetch $NAME into $FILE with curl: the calls that the module makes, one after the other, verified by $DIGEST.

set -eu
JSON="Content-Type: application/json"

call() {
    curl --silent --show-error --fail --cacert "$CA" --config "$LOGIN" "$@"
}

call "$SYSTEM" >/dev/null
call "$SYSTEM/backups" >/dev/null
call "$SYSTEM/backups" >/dev/null
operation="$SYSTEM/operations/$(cat /proc/sys/kernel/random/uuid)"
call --request PUT --header "$JSON" --data "{\"action\": \"download\", \"name\": \"$NAME\"}" "$operation" >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    document=$(call "$operation?wait=25")
    case $document in *'"state": "succeeded"'*) break ;; esac
done
announced=$(printf %s "$document" | sed -n 's/.*"sha256": "\([0-9a-f]*\)".*/\1/p')
call --output "$FILE.part" "$operation/content"
found=$($DIGEST "$FILE.part" | sed 's/ .*//')
test "$found" = "$announced"
sync "$FILE.part"
mv "$FILE.part" "$FILE"
call --request DELETE "$operation" >/dev/null
