#!/bin/sh
exec node "$(dirname "$(readlink -f "$0")")/node_modules/statsd/stats.js" "$@"
