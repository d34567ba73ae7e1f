#!/bin/sh
exec node "$(dirname "$(readlink -f "$0")")/server.js" "$@"
