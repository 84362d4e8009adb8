//! The table of connection strings, and texts that nobody thought of.

use super::*;
use crate::env::{Rng, SystemRng};

/// `text <TAB> => normalised [| identity]`, or `text <TAB> !! code`; `#` begins a comment.
const TABLE: &str = include_str!("strings.txt");

/// Control characters are written as escapes in the table.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0").replace("\\r", "\r")
}

fn said(text: &str) -> String {
    match Destination::parse(text, Some("me")) {
        Ok(parsed) => {
            let identity = parsed.identity.map(|identity| format!(" | {identity}")).unwrap_or_default();
            format!("=> {}{identity}", parsed.destination)
        }
        Err(error) => format!("!! {}", error.code()),
    }
}

#[test]
fn the_table_of_connection_strings() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').expect("every row has a tab");
        let text = unescaped(text);
        let found = said(&text);
        if found != expected {
            wrong.push(format!("{text:?}: {found}, not {expected}"));
        }
        rows += 1;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(rows >= 200, "{rows} rows");
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for line in TABLE.lines().filter(|line| line.contains("\t=> ")) {
        let text = line.split_once('\t').map_or("", |(text, _)| text);
        let once = Destination::parse(&unescaped(text), Some("me")).expect("a good row").destination;
        let again = Destination::parse(&once.to_string(), None).expect("its own writing is read");
        assert_eq!(again.destination, once, "{text}");
        assert_eq!((again.identity, again.notices), (None, vec![]));
    }
}

#[test]
fn an_error_does_not_show_a_password() {
    for text in [
        "ssh://root:hunter2@gpu",
        "root:hunter2@gpu",
        "ssh -l root:hunter2 gpu",
        "ssh://root:hunter2@gpu/x?y",
        "ssh -J a:hunter2@b c",
        "ssh --password=hunter2 root@h",
        "sshpass -p hunter2 ssh root@h",
        "sshpass -phunter2 ssh root@h",
        "SSHPASS=hunter2 sshpass -e ssh root@h",
    ] {
        let error = Destination::parse(text, None).expect_err("no password is accepted");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn nobody_is_meant_where_nobody_is_named_and_known() {
    assert_eq!(Destination::parse("ssh gpu", None), Err(DestinationError::NoUser));
    assert_eq!(Destination::parse("ssh gpu", Some("-oProxyCommand=x")), Err(DestinationError::NoUser));
}

#[test]
fn no_text_makes_it_panic_and_nothing_odd_gets_through() {
    // Texts that are made of the grammar's own pieces come further than noise.
    const PIECES: [&str; 44] = [
        "ssh",
        " ",
        "-",
        "-p",
        "-l",
        "-i",
        "-J",
        "-L",
        "-o",
        "--",
        "root",
        "@",
        ":",
        "22",
        "0",
        "65536",
        "gpu.lan",
        "[",
        "]",
        "::1",
        "ssh://",
        "/",
        "~",
        "~/",
        "'",
        "\"",
        ";",
        "\n",
        "\0",
        "é",
        "💥",
        "$(id)",
        "`id`",
        "|",
        "&",
        "=",
        ",",
        "+",
        "%",
        "?",
        "#",
        "\\",
        "ProxyCommand=sh",
        "..",
    ];
    let rng = SystemRng::seeded(20_261_122);
    let draw = |n: usize| usize::try_from(rng.below(n as u64)).expect("small");
    // `./test.sh soak` asks for many more.
    let texts = std::env::var("COMFYD_TEXTS").ok().and_then(|texts| texts.parse().ok()).unwrap_or(200_000_u64);
    for _ in 0..texts {
        let text: String = (0..draw(14)).map(|_| PIECES[draw(PIECES.len())]).collect();
        if let Ok(parsed) = Destination::parse(&text, Some("me")) {
            let Destination { target, jump } = &parsed.destination;
            for hop in [Some(target), jump.as_ref()].into_iter().flatten() {
                assert!(!hop.host.starts_with('-') && !hop.user.starts_with('-') && hop.port > 0, "{text:?}");
                assert!(
                    hop.host.bytes().chain(hop.user.bytes()).all(|b| b.is_ascii_alphanumeric() || b".-_+:".contains(&b)),
                    "{text:?}"
                );
            }
            let again = Destination::parse(&parsed.destination.to_string(), None).map(|again| again.destination);
            assert_eq!(again.as_ref(), Ok(&parsed.destination), "{text:?}");
        }
    }
}
