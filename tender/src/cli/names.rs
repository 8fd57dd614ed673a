//! Name servers and names from the command line, for the networks that they concern.

use super::{Error, Run, network};
use husk_tender::devices::net::Backend;
use husk_tender::devices::net::address::bytes;
use husk_tender::host_files::names::Added;

/// Gives each network the name servers, and checks that the host has an address in one of them if a name is to lead there.
pub fn give(run: &mut Run) -> Result<(), Error> {
    let servers = &run.options.host_files.name_servers;
    let mut shows_host = false;
    for options in run.options.devices.iter_mut().filter_map(network) {
        if let Backend::User(user) = &mut options.backend {
            user.name_servers.clone_from(servers);
            shows_host = true;
            continue;
        }
        // What the device itself is told comes first.
        for (family, is_v4) in [(&mut options.v4, true), (&mut options.v6, false)] {
            if let Some(server) =
                servers.iter().find(|server| server.is_ipv4() == is_v4 && family.name_server == [0; 16])
            {
                family.name_server = bytes(*server);
            }
        }
    }
    match !shows_host && run.options.host_files.added.iter().any(Added::is_gateway) {
        true => Err(Error(
            "--add-host: host-gateway takes a user-mode network; add --net user, or write an address".to_owned(),
        )),
        false => Ok(()),
    }
}
