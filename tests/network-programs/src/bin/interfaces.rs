//! Prints interfaces, addresses, routes and neighbours, as crates that ask rtnetlink(7) find them.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Prints lines in an order of their own.
fn print(what: &str, lines: impl IntoIterator<Item = impl Debug>) {
    let mut lines: Vec<String> = lines.into_iter().map(|line| format!("  {line:?}")).collect();
    lines.sort();
    println!("{what}:\n{}", lines.join("\n"));
}

fn main() {
    let interfaces = if_addrs::get_if_addrs().expect("if-addrs");
    print("if-addrs", interfaces.iter().map(|interface| (&interface.name, interface.index, interface.addr.ip())));
    print("local-ip-address", local_ip_address::list_afinet_netifas().expect("a list"));
    println!("its choice: {:?} {:?}", local_ip_address::local_ip().ok(), local_ip_address::local_ipv6().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().expect("a socket");
        tokio::spawn(connection);
        by_rtnetlink(&handle).await.expect("answers");
    });
}

async fn by_rtnetlink(handle: &Handle) -> Result<(), rtnetlink::Error> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    print("links", links.iter().map(|link| (link.header.index, link.header.link_layer_type)));
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    print("addresses", addresses.iter().map(|address| (address.header.index, address.header.prefix_len)));
    let named: Vec<_> = handle.link().get().match_name("lo".to_owned()).execute().try_collect().await?;
    print("lo", named.iter().map(|link| link.header.index));
    let unknown = handle.link().get().match_name("none".to_owned()).execute().try_next().await;
    println!("none: {:?}", unknown.map(|link| link.is_some()).map_err(|error| error.to_string()));
    for route in [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()] {
        let routes: Vec<_> = handle.route().get(route).execute().try_collect().await?;
        print(
            "routes",
            routes.iter().map(|route| {
                let gateway = route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
                    RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
                    _ => None,
                });
                (route.header.destination_prefix_length, route.header.kind, gateway)
            }),
        );
    }
    let neighbours: Vec<_> = handle.neighbours().get().execute().try_collect().await?;
    // Those of groups are none that answered.
    let unicast = neighbours.iter().filter(|neighbour| u16::from(neighbour.header.state) != 0x40);
    print("neighbours", unicast.map(|neighbour| neighbour.header.ifindex));
    Ok(())
}
