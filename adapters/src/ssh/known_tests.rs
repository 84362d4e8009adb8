//! What is thought of a key, line by line.

use super::*;
use crate::env::{Rng, SystemRng};

// Made for these tests; their private halves are gone.
const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFd5t24vDBXAPTxsXKEsZRBIe4AQAiAR8nuAicdeI0Za";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOPN7kUbhJSL0B+2HctfofZ+6HqO2fYLhjlYOmNK0Euh";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBNMgEwCmLnYdmUpI67ePjes2GYywtc0si5LZXGkcW4jv+J6dSjX+WAo2rkZb15wU6nqtedxgm614wFRJDf/wnEQ=";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCSz1Ki0+B6foaezoxnUA9nhGsLxBzFSw1cNBS5PgDHiujiNZP9w7LENUhsXd5xBO/R3nG1xd46BMOc8bWKD4HaBUeDo3VKe6ENbkE4hWC/EtgUMCPK/pWEVfPTPq5TvEQaNMNOckuVMcdwnJy53GsLilWhGjApphBZ/A62C1rTZYA6sk74ub9MzjwzdMHTjZeX8O171OCnmCsZx42HDkTQGRMauL2oS1az5W6Yf+icuXCk7K+0o3o5TXPQEVwOnRW588CGxx28ep4S/pslE+8kDz38PSuFnUan+ot8FkZM9BYjxd8lsOlJKVP3JFPFQXRozemFEhaycttB9FVXxkgpwpGTQUKoGPmDaJMgBxxahRkmbsBOccmPXQ8PEGLJ6aJHOCieMSnRzS/DOWDk85hXxwfyKrMxc3N8rRBiyYyGs0JY3sG3XDckkBhXfxkRRhfQyFoitvOdQC4asiDzZoAGuAOr6nJw6xCfvCAcLsN+jcYgXA9KfaTAk524EW5LKYM=";
/// `ssh-keygen -H` of `[198.51.100.7]:40738` and `gpu.lan`.
const HASHED: [&str; 2] = [
    "|1|QW1FnhMY2+wYm02fLO1ya5JI9aY=|+htFP4f/oGBCbxcy/m0EzgmdBLE=",
    "|1|X3cH89AeNWsdGNKim+kZUlrkgdE=|q2h3LYqOJUohsCKZM24RUf8KbUs=",
];

fn key(text: &str) -> HostKey {
    let (algorithm, base64) = text.split_once(' ').expect("two words");
    HostKey::parse(algorithm, base64).expect("a good key")
}

fn hop(host: &str, port: u16) -> Hop {
    Hop { user: "root".into(), host: host.into(), port }
}

fn of(text: &str) -> KnownHosts {
    KnownHosts::of_text(Path::new("known_hosts"), text)
}

fn word(text: &str, hop: &Hop, presented: &str) -> &'static str {
    match judge(hop, &key(presented), &[], &[of(text)]) {
        Verdict::Known(_) => "known",
        Verdict::Unknown => "unknown",
        Verdict::Changed { .. } => "changed",
        Verdict::Revoked(_) => "revoked",
        Verdict::Unreadable { .. } => "unreadable",
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    for (text, expected) in [
        (OTHER, "SHA256:n3x7pjdnPRwiPYyc3vX4MfcXxP9aaONxofrbBTaLuKs"),
        (ED, "SHA256:aTEeu1vVnDU+3ntqfxzbXsPMAAj5owBdISajX//5lyo"),
        (EC, "SHA256:LUf7+j1P8j28ngCIPwaKL/HmpHTLaLaNSSSlfM3382Q"),
        (RSA, "SHA256:fcKgGWU+NA05NNG8/vuy29S0vfD49s1Kb1VRl8hM/Eo"),
    ] {
        assert_eq!(key(text).fingerprint(), expected);
        assert_eq!(format!("{} {}", key(text).algorithm(), key(text).base64()), text);
    }
}

#[test]
fn lines_and_what_they_mean() {
    let gpu = hop("gpu.lan", 22);
    let rental = hop("198.51.100.7", 40738);
    let rows: Vec<(String, &Hop, &str, &str)> = vec![
        (String::new(), &gpu, ED, "unknown"),
        (format!("gpu.lan {ED}"), &gpu, ED, "known"),
        (format!("gpu.lan {ED} a comment"), &gpu, ED, "known"),
        (format!("gpu.lan {OTHER}"), &gpu, ED, "changed"),
        (format!("gpu.lan {RSA}"), &gpu, ED, "changed"),
        (format!("gpu.lan {RSA}\ngpu.lan {ED}"), &gpu, ED, "known"),
        (format!("gpu.lan {RSA}\ngpu.lan {ED}"), &gpu, EC, "changed"),
        (format!("other.lan {ED}"), &gpu, ED, "unknown"),
        // Fields are told apart by any number of spaces and tabs, and the file may come from Windows.
        (format!("gpu.lan   {}\t{}\r\n", "ssh-ed25519", &ED[12..]), &gpu, ED, "known"),
        (format!("\n  # gpu.lan {OTHER}\n\n  gpu.lan {ED}"), &gpu, ED, "known"),
        // Names.
        (format!("GPU.lan {ED}"), &gpu, ED, "known"),
        (format!("a,gpu.lan,b {ED}"), &gpu, ED, "known"),
        (format!("*.lan {ED}"), &gpu, ED, "known"),
        (format!("gp?.lan {ED}"), &gpu, ED, "known"),
        (format!("g?.lan {ED}"), &gpu, ED, "unknown"),
        (format!("*.lan,!gpu.lan {OTHER}"), &gpu, ED, "unknown"),
        (format!("!gpu.lan,*.lan {ED}"), &gpu, ED, "unknown"),
        (format!("!other.lan,*.lan {ED}"), &gpu, ED, "known"),
        (format!("!other.lan {ED}"), &gpu, ED, "unknown"),
        (format!("* {ED}"), &gpu, ED, "known"),
        // Ports.
        (format!("[198.51.100.7]:40738 {ED}"), &rental, ED, "known"),
        (format!("198.51.100.7 {ED}"), &rental, ED, "unknown"),
        (format!("[198.51.100.7]:40739 {OTHER}"), &rental, ED, "unknown"),
        (format!("[gpu.lan]:40738 {OTHER}"), &gpu, ED, "unknown"),
        // Hashed names.
        (format!("{} {ED}", HASHED[0]), &rental, ED, "known"),
        (format!("{} {OTHER}", HASHED[0]), &rental, ED, "changed"),
        (format!("{} {ED}", HASHED[1]), &gpu, ED, "known"),
        (format!("{} {OTHER}", HASHED[1]), &rental, ED, "unknown"),
        (format!("|1|not base64|x {ED}"), &gpu, ED, "unknown"),
        // Marks.
        (format!("@revoked * {ED}"), &gpu, ED, "revoked"),
        (format!("gpu.lan {ED}\n@revoked gpu.lan {ED}"), &gpu, ED, "revoked"),
        (format!("gpu.lan {ED}\n@revoked * {OTHER}"), &gpu, ED, "known"),
        (format!("@revoked other.lan {ED}"), &gpu, ED, "unknown"),
        (format!("@cert-authority * {ED}"), &gpu, ED, "unknown"),
        (format!("@later * {ED}"), &gpu, ED, "unreadable"),
        ("@revoked *".to_owned(), &gpu, ED, "unreadable"),
        ("@revoked * ssh-ed25519 AAAA".to_owned(), &gpu, ED, "unreadable"),
        // What is not understood vouches for nothing.
        ("gpu.lan".to_owned(), &gpu, ED, "unknown"),
        ("gpu.lan ssh-ed25519 AAAA".to_owned(), &gpu, ED, "changed"),
        ("gpu.lan ssh-later AAAA".to_owned(), &gpu, ED, "changed"),
    ];
    for (text, hop, presented, expected) in rows {
        assert_eq!(word(&text, hop, presented), expected, "{text:?}");
    }
}

#[test]
fn what_was_accepted_here_comes_before_a_file_and_a_revocation_before_both() {
    let gpu = hop("gpu.lan", 22);
    let file = [of(&format!("gpu.lan {OTHER}"))];
    assert_eq!(judge(&gpu, &key(ED), &[key(ED)], &file), Verdict::Known(Source::Accepted));
    let before = vec![("ssh-ed25519".to_owned(), key(ED).fingerprint().to_owned())];
    assert_eq!(
        judge(&gpu, &key(OTHER), &[key(ED)], &file),
        Verdict::Changed { before: before.clone(), source: Source::Accepted }
    );
    assert_eq!(judge(&gpu, &key(RSA), &[key(ED)], &[]), Verdict::Changed { before, source: Source::Accepted });
    let revoking = [of(&format!("@revoked * {ED}"))];
    assert_eq!(judge(&gpu, &key(ED), &[key(ED)], &revoking), Verdict::Revoked(PathBuf::from("known_hosts")));
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_file() {
    let folder = std::env::temp_dir().join(format!("comfyd-known-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let gpu = hop("gpu.lan", 22);
    // A folder in its place is as unreadable to root as a file without permission is to others.
    let verdict = judge(&gpu, &key(ED), &[key(ED)], &[KnownHosts::read(&folder)]);
    assert!(matches!(verdict, Verdict::Unreadable { .. }), "{verdict:?}");
    let verdict = judge(&gpu, &key(ED), &[], &[KnownHosts::read(&folder.join("none"))]);
    assert_eq!(verdict, Verdict::Unknown);
    std::fs::remove_dir(&folder).expect("it is empty");
}

#[test]
fn the_machine_is_asked_for_a_key_that_is_known() {
    let file = of(&format!("gpu.lan {RSA}\n* {EC}\n@cert-authority gpu.lan {ED}\nother {ED}"));
    assert_eq!(file.algorithms(&hop("gpu.lan", 22)), ["ssh-rsa", "ecdsa-sha2-nistp256"]);
}

#[test]
fn no_file_makes_it_panic_or_slow() {
    let rng = SystemRng::seeded(7);
    let draw = |n: usize| usize::try_from(rng.below(n as u64)).expect("small");
    let pieces = [
        "gpu.lan",
        "*",
        "?",
        "!",
        ",",
        " ",
        "\t",
        "\n",
        "@revoked",
        "@cert-authority",
        "|1|",
        "|",
        "=",
        "AAAA",
        ED,
        "#",
        "[",
        "]:22",
        "\u{fffd}",
    ];
    let presented = key(ED);
    for _ in 0..20_000 {
        let text: String = (0..draw(20)).map(|_| pieces[draw(pieces.len())]).collect();
        let _verdict = judge(&hop("gpu.lan", 22), &presented, &[], &[of(&text)]);
    }
    // Many stars take no exponential time.
    assert!(!matches(&format!("{}b", "*a".repeat(5_000)), &"a".repeat(250)));
}
