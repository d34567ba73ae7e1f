#!/bin/sh
# Keycloak writes into its own folder, so each server has a copy: `keycloak` in the folder that it
# is started in. A realm laid into `keycloak/data/import` before is had with `--import-realm`.
set -e
whole=$(dirname "$(readlink -f "$0")")/keycloak-26.0.8
[ "$1" != --version ] || exec bash "$whole/bin/kc.sh" --version
mkdir -p keycloak
cp -R "$whole/." keycloak
exec bash keycloak/bin/kc.sh "$@"
