//! A small file system that fills up: `/readyz` says so, every refusal leaves nothing, and all is well again with room.

use crate::processes::{Installation, can_mount, post};
use crate::programs;
use headworks::delivery::tree_path::each_tree;
use headworks::infra::volume::Volume;

const MEBIBYTES: u32 = 48;
/// Refused posts of each trial.
const POSTS: u32 = 30;

/// What lies on the small file system.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    /// The state directory, and in it everything else.
    State,
    /// The scratch directory and the inbox.
    Inbox,
    /// The archive.
    Archive,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_is_reported_in_each_of_its_roles_and_refused_posts_leave_nothing() {
    if !can_mount() {
        return;
    }
    for role in [Role::State, Role::Inbox, Role::Archive] {
        eprintln!("{role:?}");
        trial(role);
    }
}

fn trial(role: Role) {
    let small = tempfile::tempdir().unwrap();
    let place = |name: &str| small.path().join("fs").join(name);
    let settings = match role {
        Role::State => "[queue.parse]\npaused = true\n".to_owned(),
        Role::Inbox => {
            format!("[queue.parse]\npaused = true\n[volume.inbox]\npath = {:?}\n", place("inbox"),)
        }
        Role::Archive => {
            format!("[queue.parse]\npaused = true\n[volume.archive]\npath = {:?}\n", place("archive"))
        }
    };
    let installation = Installation::new(None, &settings, &programs::modules());
    std::fs::set_permissions(small.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mount = match role {
        Role::State => installation.mount(&installation.state(), MEBIBYTES),
        Role::Inbox | Role::Archive => installation.mount(&small.path().join("fs"), MEBIBYTES),
    };
    if role == Role::Inbox {
        // The scratch directory is on the same file system.
        let file = installation.config();
        let config = std::fs::read_to_string(&file).unwrap();
        let tmp = format!("[server]\ntmp_dir = {:?}\n", place("tmp"));
        std::fs::write(file, config.replacen("[server]\n", &tmp, 1)).unwrap();
    }
    let server = installation.start();
    let number = std::cell::Cell::new(0);
    let next = || {
        number.set(number.get() + 1);
        post(server.control(), format!("file {}", number.get()).as_bytes()).unwrap().0
    };
    assert_eq!(next(), 202);
    mount.fill();
    installation.wait_for("/readyz to tell", || (server.ask("GET", "/readyz") == Some(503)).then_some(()));
    let reasons = server.body("/readyz?verbose").unwrap();
    let named = if role == Role::State {
        "state"
    } else if role == Role::Inbox {
        "inbox"
    } else {
        "archive"
    };
    let reasons: serde_json::Value = serde_json::from_str(&reasons).unwrap();
    let wrong = |name: &str| {
        let all = reasons["dependencies"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["wrong"].as_str().map(str::to_owned)
    };
    let reason = wrong(named).unwrap_or_else(|| panic!("{named} is not named: {reasons}"));
    assert!(reason.contains("full"), "{reason}");

    if role != Role::Archive {
        // The pages there are fill first.
        installation.wait_for("a post to be refused", || (next() == 503).then_some(()));
        assert!((0..POSTS).all(|_| next() == 503));
        let complaints = complaints(&installation);
        assert!(complaints.len() <= 12, "{} lines: {complaints:#?}", complaints.len());
    }
    mount.clear();
    installation.wait_for("/readyz to tell", || (server.ask("GET", "/readyz") == Some(200)).then_some(()));
    assert_eq!(next(), 202);
    let told = installation.log_lines();
    let of = |text: &str| told.iter().filter(|line| line["msg"] == text && line["what"] == named).count();
    assert_eq!((of("not ready"), of("ready again")), (1, 1), "{told:#?}");

    let inbox = if role == Role::Inbox { place("inbox") } else { installation.state().join("inbox") };
    let inbox = Volume::open("inbox", &inbox, None).unwrap();
    let mut trees = 0;
    each_tree(&inbox, &mut |_| {
        trees += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(trees, installation.store.count("SELECT count(*) FROM delivery"));
    server.stop();
}

/// Lines about something that is wrong.
fn complaints(installation: &Installation) -> Vec<serde_json::Value> {
    let lines = installation.log_lines();
    lines.into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
}
