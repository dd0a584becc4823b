//! The store in a file.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// Names the file to the process that writes it until it is killed.
const FILE: &str = "CAPNODE_TEST_STORE";

fn path(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("capnode-sturdy-{what}-{}.redb", std::process::id()))
}

#[tokio::test]
async fn a_file_keeps_what_an_owner_has_to_keep() {
    let file = path("owner");
    let open = || {
        let restore = |kept: &Kept| Ok(NoteClient::new(Paper(kept.data.clone())).into());
        Owner::builder(FileStore::open(&file)?, restore).open()
    };
    let owner = open().unwrap();
    // Another program would count apart. The error names the file, and not to peers.
    let error = FileStore::open(&file).unwrap_err();
    assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(error.public_message(), "the store of an owner failed");
    let text = owner.keep("note", b"milk").unwrap();
    let counted = text.with(&Caveat::Count(2)).unwrap();
    let revoked = text.with(&Caveat::ReadOnly).unwrap();
    owner.revoke(&revoked).unwrap();
    let redeem =
        async |owner: &Owner, text: &Sturdy| owner.redeem(&text.reveal()).await.map(NoteClient::from_cap);
    redeem(&owner, &counted).await.unwrap().erase().await.unwrap();
    drop(owner);

    let owner = open().unwrap();
    let note = redeem(&owner, &counted).await.unwrap();
    assert_eq!(note.text().await.unwrap(), "milk");
    assert_eq!(note.erase().await.unwrap_err().kind(), ErrorKind::Refused);
    redeem(&owner, &revoked).await.unwrap_err();
    owner.forget(text.object()).unwrap();
    redeem(&owner, &text).await.unwrap_err();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_file_has_all_of_a_write_or_nothing_after_its_program_was_killed() {
    if let Ok(file) = std::env::var(FILE) {
        let store = FileStore::open(file).unwrap();
        let last =
            |name| store.get(name).unwrap().map_or(0, |kept| u64::from_be_bytes(kept.try_into().unwrap()));
        assert_eq!(last("one"), last("two"));
        for number in last("one").. {
            let value = number.to_be_bytes();
            store
                .write(&[
                    ("one", Some(&value)),
                    (&format!("row/{number}"), Some(&value)),
                    ("two", Some(&value)),
                ])
                .unwrap();
            println!("\nwrote {number}");
        }
    }
    let file = path("killed");
    for _ in 0..5 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "sturdy::tests::file::a_file_has_all_of_a_write_or_nothing_after_its_program_was_killed",
            ])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut wrote = BufReader::new(writer.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("wrote ")?.parse::<u64>().ok());
        let told = wrote.nth(10).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        // What it was told of, and what was in the pipe.
        let told = wrote.last().unwrap_or(told);
        let store = FileStore::open(&file).unwrap();
        let [one, two] = ["one", "two"].map(|name| store.get(name).unwrap().unwrap());
        assert_eq!(one, two);
        let last = u64::from_be_bytes(one.try_into().unwrap());
        assert!(last == told || last == told + 1, "{last} after {told}");
        assert_eq!(store.names("row/").unwrap().len() as u64, last + 1);
    }
    std::fs::remove_file(&file).unwrap();
}
