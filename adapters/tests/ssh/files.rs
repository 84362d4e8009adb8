//! Files of the machine.

use bytes::Bytes;
use comfyd_adapters::ssh::FileError;
use comfyd_fixtures::sshd::Sshd;

use crate::support::session;

#[tokio::test]
async fn new_keys_in_the_middle_of_a_transfer_change_nothing() {
    // Both directions get new keys every 64 KiB.
    let sshd = Sshd::start(&["RekeyLimit 64K"]).expect("sshd");
    let session = session(&sshd);
    let path = sshd.folder().join("large").display().to_string();
    // `COMFYD_MIB` for long tests.
    let mib = std::env::var("COMFYD_MIB").ok().and_then(|text| text.parse::<u32>().ok());
    let bytes: Vec<u8> = (0..mib.unwrap_or(6) << 20).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let sent = Bytes::from(bytes);
    session.put_file(&path, &sent).await.expect("written");
    assert!(std::fs::read(&path).expect("it is there") == sent);
    let stat = session.stat(&path).await.expect("it is there");
    assert_eq!(stat.size, sent.len() as u64);
    let mut reader = session.open_file(&path, stat, 1_000_000).await.expect("it opens");
    let mut back = Vec::new();
    while let Some(piece) = reader.piece().await.expect("it goes on") {
        back.extend_from_slice(&piece);
    }
    assert!(back == sent[1_000_000..], "{} bytes", back.len());
    assert_eq!(session.attempts(), 1);
}

#[tokio::test]
async fn files_that_are_not_there_or_not_files_are_told_apart_from_a_lost_way() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let session = session(&sshd);
    let at = |name: &str| sshd.folder().join(name).display().to_string();
    assert!(matches!(session.stat(&at("none")).await, Err(FileError::Missing(_))));
    assert!(matches!(session.stat(&at("home")).await, Err(FileError::Missing(_))), "a folder is no file");
    session.remove_file(&at("none")).await.expect("what is not there is removed");
    // An upload goes on where an earlier one ended.
    let part = |bytes: &[u8]| sshd.folder().join(format!("up.{}.part", &comfyd_adapters::digest::sha256(bytes).as_str()[..16]));
    std::fs::write(part(b"first second"), b"first ").expect("written");
    // The beginning of another content is left alone, and what was there is replaced.
    std::fs::write(part(b"other"), b"oth").expect("written");
    std::fs::write(sshd.folder().join("up"), b"old").expect("written");
    session.put_file(&at("up"), &Bytes::from_static(b"first second")).await.expect("written");
    assert_eq!(std::fs::read(sshd.folder().join("up")).expect("it is there"), b"first second");
    let left: Vec<_> = std::fs::read_dir(sshd.folder()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    let left: Vec<_> = left.iter().filter(|path| path.display().to_string().contains("/up")).collect();
    assert_eq!(left.len(), 2, "the file and the other beginning: {left:?}");
    // After the connection was killed the next transfer makes another.
    sshd.kill_sessions();
    let again = session.stat(&at("up")).await;
    let again = if again.is_err() { session.stat(&at("up")).await } else { again };
    assert_eq!(again.expect("it is there").size, 12);
}
