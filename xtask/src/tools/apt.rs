//! Debian packages.

use std::process::Command;
use std::time::Instant;

use crate::process;

/// Installs packages whose services stay stopped: a test starts a server itself, where it wants
/// it, and one of the system's would take its memory and perhaps its port. Debian asks
/// `policy-rc.d` whether a service may be started, so there is one that says no meanwhile.
const SCRIPT: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
apt-get -q -y update
apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"
"#;

/// Installs all of the packages at once, as root or by a `sudo` that asks nothing.
pub(super) fn install(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let named = packages.join(", ");
    if process::find("apt-get").is_none() {
        return Err(format!("there is no apt-get to install packages with: {named}"));
    }
    let started = Instant::now();
    let root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = Command::new(if root { "sh" } else { "sudo" });
    if !root {
        command.args(["-n", "sh"]);
    }
    process::output(command.args(["-c", SCRIPT, "install"]).args(packages))
        .map_err(|why| format!("the packages {named} cannot be installed: {why}"))?;
    eprintln!("   installed {named} in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
