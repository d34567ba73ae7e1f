#!/bin/sh
# Options of the JVM that make the start a third shorter.
jvm="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m"
jar=$(dirname "$(readlink -f "$0")")/zipkin-server-slim.jar
# The proof that it runs: everything is put together, and it ends before it listens.
[ "$1" != --probe ] || exec java $jvm -Dspring.context.exit=onRefresh -jar "$jar"
exec java $jvm -jar "$jar" "$@"
