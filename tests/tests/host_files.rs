//! Names of a guest, and files of the host that it sees: certificates, time zones, names of machines.

use husk_tests::{Guest, requires, skip};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// A zone in which no host of tests is, and its difference to UTC in summer.
const ZONE: &str = "/usr/share/zoneinfo/Asia/Kathmandu";
const KATHMANDU_S: &str = "20700";

/// Checks what the program of the same name finds: words, and the answer to each.
fn finds(guest: Guest, words: &[(&str, &str)]) {
    let expected: String = words.iter().map(|(word, answer)| format!("{word}: {answer}\n")).collect();
    let guest = words.iter().fold(guest, |guest, (word, _)| guest.argument(*word));
    guest.run().expect_success().expect_stdout(&expected);
}

/// Returns a guest that finds the certificates of the system, whatever the environment of the tests names.
fn guest(flags: &[&str]) -> Guest {
    let guest = flags.iter().fold(Guest::program("host_files"), |guest, flag| guest.flag(*flag));
    guest.through(&["env", "-u", "SSL_CERT_FILE"])
}

/// Starts the tender on a host with this folder as `/etc`.
fn on_host(guest: Guest, etc: &Path) -> Guest {
    let script = format!("mount --bind {} /etc && exec \"$@\"", etc.display());
    guest.through(&["env", "-u", "SSL_CERT_FILE", "unshare", "-m", "sh", "-c", &script, "sh"])
}

/// Returns a folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

/// Returns true if the host has time zones, whose files the tests need, and a kernel that confines the tender to them.
fn has_zones() -> bool {
    let has = Path::new(ZONE).exists();
    if !has {
        skip!("time zones, as the host has none (apt install tzdata)");
    }
    let explained = guest(&["--explain", "--json"]).run();
    let has_landlock = !explained.stdout().contains("\"landlock_version\":null");
    if !has_landlock {
        skip!("time zones, as this kernel has no Landlock");
    }
    has && has_landlock
}

/// Certificates as libraries read them: what is inside does not matter.
const TWO_CERTIFICATES: &str = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n\
                                -----BEGIN CERTIFICATE-----\nTUlJQw==\n-----END CERTIFICATE-----\n";

#[test]
fn a_guest_has_the_name_that_it_is_given() {
    finds(guest(&[]), &[("hostname", "husk husk husk"), ("address=husk", "127.0.1.1")]);
    finds(
        guest(&["--hostname=web-1.test"]),
        &[
            ("hostname", "web-1.test web-1.test web-1.test"),
            ("address=web-1.test", "127.0.1.1"),
            ("address=husk", "not found"),
        ],
    );
    guest(&["--hostname=web_1"]).run().expect_refusal(&["--hostname: write a name of up to 64 letters"]);
}

#[test]
fn names_are_added() {
    let flags = ["--add-host=db.test:192.0.2.7", "--add-host=six:2001:db8::7"];
    finds(
        guest(&flags),
        &[("address=db.test", "192.0.2.7"), ("address=six", "2001:db8::7"), ("address=other", "not found")],
    );
    let network = ["--net=user", "--add-host=host.docker.internal:host-gateway"];
    finds(guest(&network), &[("address=host.docker.internal", "10.0.2.4")]);
    guest(&["--add-host=db.test"]).run().expect_refusal(&["--add-host: write NAME:ADDRESS"]);
    guest(&["--add-host=db.test:here"]).run().expect_refusal(&["--add-host: 'here' is no address"]);
    guest(&network[1..]).run().expect_refusal(&["host-gateway takes a user-mode network", "--net user"]);
    guest(&["--dns=dns.test"]).run().expect_refusal(&["--dns: write the address of a name server"]);
}

#[test]
fn a_native_program_is_given_no_names() {
    for flag in ["--hostname=web", "--add-host=db.test:192.0.2.7"] {
        let name = flag.split('=').next().expect("a first part");
        let refused = format!("{name}: a program over the native API looks up no names");
        Guest::native("prints_control").flag(flag).run().expect_refusal(&[&refused]);
        Guest::native("prints_control").flag(flag).flag("--explain").run().expect_refusal(&[&refused]);
    }
}

#[test]
fn names_of_the_host_reach_a_guest_with_a_network() {
    if !requires::root() {
        return;
    }
    let hosts = "127.0.0.1 localhost build-7\n192.0.2.9 db.corp # secret\n";
    let etc = folder(&[("hosts", hosts), ("resolv.conf", "nameserver 127.0.0.1\nsearch corp.test\noptions ndots:2\n")]);
    let on_host = |flags: &[&str]| on_host(guest(flags), etc.path());
    let own = "127.0.0.1\\tlocalhost\\n::1\\tlocalhost ip6-localhost ip6-loopback\\n127.0.1.1\\thusk\\n";
    finds(
        on_host(&["--net=user"]),
        &[
            ("read=/etc/hosts", &format!("{own}192.0.2.9\\tdb.corp\\n")),
            ("address=db.corp", "192.0.2.9"),
            ("read=/etc/resolv.conf", "nameserver 10.0.2.3\\nsearch corp.test\\noptions ndots:2\\n"),
        ],
    );
    finds(
        on_host(&["--dns=192.0.2.53"]),
        &[("read=/etc/resolv.conf", "nameserver 10.0.2.3\\nsearch corp.test\\noptions ndots:2\\n")],
    );
    finds(on_host(&[]), &[("read=/etc/hosts", own), ("address=db.corp", "not found")]);
    let hidden = [("read=/etc/hosts", own), ("read=/etc/resolv.conf", "nameserver 10.0.2.3\\n")];
    finds(on_host(&["--net=user", "--no-host-files"]), &hidden);
    let added = ["--net=user", "--add-host=db.corp:192.0.2.1"];
    finds(on_host(&added), &[("address=db.corp", "192.0.2.1")]);
}

#[test]
fn certificates_of_the_host_are_found() {
    if !requires::root() {
        return;
    }
    for place in ["ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/ca-bundle.pem"] {
        let etc = folder(&[(place, TWO_CERTIFICATES)]);
        finds(
            on_host(guest(&[]), etc.path()),
            &[("certificates", "2"), ("list=/etc/ssl/certs", "ca-certificates.crt")],
        );
        let hidden = on_host(guest(&["--no-host-files"]), etc.path());
        finds(hidden, &[("list=/etc/ssl", "none"), ("list=/usr/share", "none")]);
    }
    let etc = folder(&[]);
    finds(on_host(guest(&[]), etc.path()), &[("list=/etc/ssl", "none")]);
}

#[test]
fn certificates_are_those_of_the_users_variable() {
    let own = folder(&[("corp.pem", TWO_CERTIFICATES)]);
    let path = own.path().join("corp.pem");
    let variable = format!("SSL_CERT_FILE={}", path.display());
    finds(guest(&[]).through(&["env", &variable]), &[("certificates", "2")]);
    let passed = guest(&["-e", "SSL_CERT_FILE"]).through(&["env", &variable]);
    finds(passed, &[("certificates", "2"), ("write=/etc/ssl/cert.pem", "mine")]);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), TWO_CERTIFICATES, "what a guest writes is its own");
}

#[test]
fn local_time_is_that_of_the_host_or_of_the_variable() {
    if !requires::root() || !has_zones() {
        return;
    }
    let etc = folder(&[]);
    symlink(ZONE, etc.path().join("localtime")).expect("a link");
    finds(on_host(guest(&[]), etc.path()), &[("time", KATHMANDU_S), ("link=/etc/localtime", ZONE)]);
    finds(on_host(guest(&["-e", "TZ=Europe/Paris"]), etc.path()), &[("time", "7200")]);
    finds(on_host(guest(&["--no-host-files", "-e", "TZ=Europe/Paris"]), etc.path()), &[("time", "0")]);
    let copied = folder(&[]);
    fs::copy(ZONE, copied.path().join("localtime")).expect("a file");
    finds(on_host(guest(&[]), copied.path()), &[("time", KATHMANDU_S)]);
}

#[test]
fn every_zone_is_found_when_it_is_looked_for() {
    if !has_zones() {
        return;
    }
    let names = |folder: &str| {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("one").file_name().into_string().expect("text")).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let read = fs::read("/usr/share/zoneinfo/Asia/Kathmandu").expect("it is there").escape_ascii().to_string();
    finds(
        guest(&[]),
        &[
            ("list=/usr/share/zoneinfo", &names("/usr/share/zoneinfo")),
            ("list=/usr/share/zoneinfo/America/Argentina", &names("/usr/share/zoneinfo/America/Argentina")),
            ("read=/usr/share/zoneinfo/Asia/Kathmandu", &read),
            ("read=/usr/share/zoneinfo/Mars/Utopia", "entity not found"),
            ("read=/usr/share/zoneinfo/../../../etc/shadow", "entity not found"),
        ],
    );
}

#[test]
fn what_is_seen_is_explained() {
    let explained = |flags: &[&str]| guest(flags).flag("--explain").run();
    let own = folder(&[("corp.pem", TWO_CERTIFICATES)]);
    let variable = format!("SSL_CERT_FILE={}", own.path().join("corp.pem").display());
    let outcome = guest(&["--explain"]).through(&["env", &variable]).run();
    let line = format!("host files    read {}\n", own.path().join("corp.pem").display());
    assert!(outcome.stdout().contains(&line), "{outcome}");
    if has_zones() {
        assert!(outcome.stdout().contains("read /usr/share/zoneinfo, and what is below"), "{outcome}");
        assert!(outcome.stdout().contains("openat2"), "{outcome}");
    }
    let hidden = explained(&["--no-host-files"]);
    assert!(hidden.stdout().contains("host files    nothing of the host's\n"), "{hidden}");
    assert!(!hidden.stdout().contains("openat2"), "{hidden}");
}
