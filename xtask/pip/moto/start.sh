#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/venv/bin/python" -m moto.server "$@"
