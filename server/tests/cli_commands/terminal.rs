//! What a terminal gets.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Comfy, Ended, Place};

/// Runs a command on a terminal of this width; gives everything that it wrote there.
fn on_terminal(command: Command, width: u16) -> (Option<i32>, String) {
    on_terminal_until(command, width, None)
}

/// The same; the command is asked to end when it has written this.
fn on_terminal_until(command: Command, width: u16, enough: Option<&'static str>) -> (Option<i32>, String) {
    let told = told_on_terminal(command, width, enough, false);
    (told.code, told.written)
}

/// What a command did on a terminal.
struct Told {
    code: Option<i32>,
    written: String,
    /// Whether the terminal showed what is typed when the command was asked to end.
    shown_when_asked: Option<bool>,
    /// And after its end.
    shown_after: bool,
}

/// The same; with `typed` it reads from the terminal too.
fn told_on_terminal(mut command: Command, width: u16, enough: Option<&'static str>, typed: bool) -> Told {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("granted");
    unlockpt(&ours).expect("unlocked");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let theirs = rustix::fs::open(&*name, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY, rustix::fs::Mode::empty())
        .expect("opened");
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).expect("a size");
    let copy = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a copy"));
    command.stdout(copy(&theirs)).stderr(copy(&theirs)).env("TERM", "xterm-256color");
    if typed {
        command.stdin(copy(&theirs));
    }
    let child = command.spawn().expect("the binary starts");
    let process = rustix::process::Pid::from_child(&child);
    // The command holds copies too.
    drop((command, theirs));
    let mut terminal = std::fs::File::from(ours);
    let reading = std::thread::spawn(move || {
        let mut written = Vec::new();
        let mut part = [0; 4096];
        let mut shown = None;
        // Linux ends a terminal without writers by an error.
        while let Ok(count) = terminal.read(&mut part) {
            if count == 0 {
                break;
            }
            written.extend_from_slice(&part[..count]);
            if enough.is_some_and(|enough| String::from_utf8_lossy(&written).contains(enough)) {
                shown.get_or_insert_with(|| echoes(&terminal));
                rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("our child");
            }
        }
        (String::from_utf8_lossy(&written).into_owned(), shown, echoes(&terminal))
    });
    let ended = Ended::of(child, &["on a terminal"]);
    let (written, shown_when_asked, shown_after) = reading.join().expect("read");
    Told { code: ended.code, written, shown_when_asked, shown_after }
}

fn echoes(terminal: &std::fs::File) -> bool {
    rustix::termios::tcgetattr(terminal).expect("a terminal").local_modes.contains(rustix::termios::LocalModes::ECHO)
}

fn run(place: &Place, comfy: &Comfy) -> Command {
    place.comfyd(&["run", &place.workflow("20_custom_slow_previews"), "--url", &comfy.url()])
}

#[test]
fn a_terminal_gets_a_picture_that_is_redrawn_in_place() {
    let (comfy, place) = (Comfy::at("127.0.0.1:0", 4.0), Place::new());
    let (code, written) = on_terminal(run(&place, &comfy), 60);
    assert_eq!(code, Some(0), "{written}");
    assert!(written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l"), "the cursor comes back: {written:?}");
    assert!(written.contains("\x1b[3"), "colours: {written:?}");
    assert!(written.contains("▶") && written.contains("█") && written.contains("step "), "{written}");
    let pictures = written.matches("\x1b[?25l").count();
    assert!((2..200).contains(&pictures), "{pictures} pictures");
    let picture = written.split("\x1b[?25l").nth(2).expect("a second picture");
    assert!(picture.starts_with("\r\x1b["), "the cursor goes back up: {picture:?}");
}

#[test]
fn a_hidden_question_ends_with_a_signal_and_the_terminal_shows_again_what_is_typed() {
    let place = Place::new();
    let told = told_on_terminal(place.comfyd(&["instances", "unlock", "rental"]), 80, Some("private key: "), true);
    assert_eq!((told.code, told.shown_when_asked, told.shown_after), (Some(130), Some(false), true), "{}", told.written);
}

#[test]
fn no_color_and_dumb_terminals_are_honoured() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let mut bare = run(&place, &comfy);
    bare.env("NO_COLOR", "1");
    let (code, written) = on_terminal(bare, 60);
    assert_eq!(code, Some(0), "{written}");
    assert!(!written.contains("\x1b[3") && !written.contains("\x1b[0m") && !written.contains("\x1b[1m"), "{written:?}");
    let (code, written) = on_terminal(place.comfyd(&["runs"]), 60);
    assert_eq!(code, Some(0));
    assert!(written.contains("\x1b[32mcompleted"), "colours where nothing forbids them: {written:?}");
    let mut json = place.comfyd(&["runs", "--json"]);
    json.env("NO_COLOR", "");
    assert!(!on_terminal(json, 60).1.contains('\u{1b}'));
}

#[test]
fn a_person_gets_the_page_with_its_token() {
    let place = Place::new();
    let mut serve = place.comfyd(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("RUST_LOG", "off");
    let (code, written) = on_terminal_until(serve, 200, Some("\n"));
    assert_eq!(code, Some(0), "{written}");
    let token = std::fs::read_to_string(place.data().join("token")).expect("a token was made");
    assert!(written.contains(&format!("/#token={}", token.trim())), "{written}");
}
