//! Which layer wins, and what reload changes.

use super::super::live::RELOADED;
use super::super::{Difference, Live};
use super::Setup;
use crate::ids::VolumeName;
use std::collections::BTreeSet;

fn level(setup: &Setup) -> String {
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    loaded.print(true).lines().find(|line| line.starts_with("level = ")).unwrap().to_owned()
}

#[test]
fn a_later_layer_wins_and_print_says_which() {
    let setup = Setup::new("");
    assert!(level(&setup).starts_with("level = \"info\"  # default:"));
    let setup = Setup::new("[telemetry]\nlevel = 'warn'");
    assert!(level(&setup).ends_with("headworks.toml:2:1") && level(&setup).contains("warn"));
    let setup = setup
        .conf_d("10-a.toml", "telemetry.level = 'error'")
        .conf_d("09-z.toml", "telemetry.level = 'trace'");
    assert!(level(&setup).ends_with("conf.d/10-a.toml:1:11") && level(&setup).contains("error"));
    let setup = setup.conf_d("ignored.txt", "no TOML at all");
    let setup = setup.env("HEADWORKS__TELEMETRY__LEVEL", "debug").env("OTHER", "x");
    assert_eq!(level(&setup), "level = \"debug\"  # environment HEADWORKS__TELEMETRY__LEVEL");
    let setup = setup.flag("telemetry.level=trace");
    assert_eq!(level(&setup), "level = \"trace\"  # flag");
}

#[test]
fn words_mean_what_their_setting_is() {
    let setup = Setup::new("")
        .env("HEADWORKS__JOBS__PREFETCH", "7")
        .env("HEADWORKS__SPOOL__USER", "1000")
        .env("HEADWORKS__SPOOL__STRICT_SIZE", "false")
        .env("HEADWORKS__SERVER__ROLES", "[\"http\", \"worker\"]")
        .env("HEADWORKS__VOLUME", "{ inbox = { path = \"mail\" } }")
        .flag("jobs.lease = \"1m\"")
        .flag("source.mail.domains=['a.example']");
    let config = setup.load().unwrap_or_else(|errors| panic!("{errors}")).config().clone();
    assert_eq!(
        (config.jobs.prefetch, config.spool.user.as_str(), config.spool.strict_size),
        (7, "1000", false)
    );
    assert_eq!((config.server.roles.len(), config.jobs.lease.get().as_secs()), (2, 60));
    assert_eq!(config.mail_source().unwrap().domains[0].as_str(), "a.example");
    assert_eq!(
        config.volume.get(VolumeName::Inbox).directory(),
        Some(&*config.server.state_dir.join("mail"))
    );
    assert_eq!(
        config.volume.get(VolumeName::Archive).directory(),
        Some(&*config.server.state_dir.join("archive"))
    );
}

#[test]
fn customers_and_rules_add_up_and_other_lists_are_replaced() {
    let setup = Setup::new(
        "[[customer]]\nname = 'bobs'\n[[rule]]\nname = 'first'\nset = { category = 'a', type = 'b' }\n[[listen]]\naddress = '[::1]:0'\ndoors = ['api']",
    )
    .conf_d("bens.toml", "[[customer]]\nname = 'bens'\n[[rule]]\nname = 'second'\nset = { type = 'c' }");
    let config = setup.load().unwrap_or_else(|errors| panic!("{errors}")).config().clone();
    assert_eq!(config.customers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["bobs", "bens"]);
    assert_eq!(config.rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(config.listen.len(), 1);
    assert!(config.listen[0].address.is_ipv6());
}

#[test]
fn what_print_shows_can_be_loaded_and_means_the_same() {
    let setup = Setup::new(
        "[[customer]]\nname = 'bobs'\nrecipients = ['Bobs@Example.com']\n[queue.'parse:hydrastor/alert']\npaused = true\n\
         [[rule]]\nname = 'r'\nwhen = { header = { 'X-Odd Name' = 'a\"b\\s' } }\nset = { category = 'a', type = 'b' }",
    )
    .env("HEADWORKS__MAIL__PARTS", "12");
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    for origin in [false, true] {
        let again = Setup::new(&loaded.print(origin)).load().unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again.config(), loaded.config());
    }
}

#[test]
fn a_reload_takes_over_rules_and_limits_and_names_what_needs_a_restart() {
    let setup = Setup::new("");
    let live = Live::new(setup.load().unwrap_or_else(|errors| panic!("{errors}")));
    let mut changes = live.subscribe();
    setup.rewrite("mail.parts = 5\njobs.concurrency = 3\njobs.lease = '1m'\nhistory.retention = '1d'\n[[customer]]\nname = 'bobs'");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected = Difference {
        reloaded: names(&["customer", "history.retention", "jobs.concurrency", "mail.parts"]),
        restart: names(&["jobs.lease"]),
    };
    assert_eq!(live.reload(&setup.layers), Ok(expected));
    assert!(changes.has_changed().unwrap());
    let config = changes.borrow_and_update().clone();
    assert_eq!(
        (config.mail.parts.get(), config.customers.len(), config.jobs.concurrency.get(), config.jobs.lease),
        (5, 1, 3, "30s".parse().unwrap())
    );
    let unchanged = Difference { reloaded: Vec::new(), restart: names(&["jobs.lease"]) };
    assert_eq!(live.reload(&setup.layers), Ok(unchanged), "what waits for a restart is named until then");
}

#[test]
fn what_a_reload_says_it_took_over_is_what_it_took_over() {
    let changes = [
        "server.time_zone = 'Asia/Tokyo'",
        "server.shutdown_grace = '1s'",
        "telemetry.level = 'warn'",
        "store.batch_items = 7",
        "listen = []\nserver.roles = ['mail']",
        "http.max_page = 500",
        "source.rest.key_ttl = '1h'",
        "source.mail.domains = ['a.example']",
        "source.rest.enabled = false",
        "[source.mail]\nenabled = false\n[source.post]\nkind = 'mail'",
        "volume.inbox.path = 'elsewhere'",
        "spool.user = 'other'",
        "mail.depth = 7",
        "modules.children = 7",
        "modules.spill_bytes = '1GiB'",
        "modules.rows = 7",
        "modules.row_bytes = '7KiB'",
        "modules.findings = 7",
        "modules.archive_depth = 7",
        "modules.archive_members = 7",
        "modules.archive_member_bytes = '7KiB'",
        "modules.archive_ratio = 7",
        "modules.archive_ratio_after = '7KiB'",
        "modules.archive_decoder_bytes = '7KiB'",
        "jobs.lease = '1m'",
        "jobs.prefetch = 7",
        "jobs.concurrency = 7",
        "jobs.max_attempts = 7",
        "jobs.backoff_base = '7s'",
        "jobs.backoff_max = '7h'",
        "jobs.soft_timeout = '6m'",
        "queue.parse.paused = true",
        "history.retention = '1d'",
        "held.keep = '1d'",
        "log.retention = '1d'",
        "keeper.spool_every = '1h'",
        "customer = [{ name = 'bobs' }]",
        "rule = [{ name = 'r', set = { category = 'a', type = 'b' } }]",
    ];
    let mut taken = BTreeSet::new();
    for change in changes {
        let setup = Setup::new("");
        let started = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
        let live = Live::new(started.clone());
        setup.rewrite(change);
        let difference = live.reload(&setup.layers).unwrap_or_else(|errors| panic!("{errors}"));
        let new = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
        assert_ne!(new.config(), started.config(), "{change}");
        let expected = if difference.restart.is_empty() { new.config() } else { started.config() };
        assert_eq!(&live.config(), expected, "{change}");
        assert!(difference.reloaded.is_empty() != difference.restart.is_empty(), "{change}");
        taken.extend(difference.reloaded);
    }
    for setting in RELOADED.map(|key| key.join(".")) {
        assert!(taken.iter().any(|key| key.starts_with(&setting)), "{setting} was not changed here");
    }
}

#[test]
fn what_a_reload_takes_over_must_fit_what_waits_for_a_restart() {
    let setup = Setup::new("");
    let live = Live::new(setup.load().unwrap_or_else(|errors| panic!("{errors}")));
    let before = live.config();
    setup.rewrite("server.roles = ['http']\nsource.mail.enabled = false");
    assert!(setup.load().is_ok(), "after a restart it is right");
    let errors = live.reload(&setup.layers).unwrap_err().to_string();
    assert!(errors.contains("server.roles: role mail needs a source of kind mail"), "{errors}");
    assert!(errors.ends_with("wait for a restart)"), "{errors}");
    assert_eq!(live.config(), before);
}

#[test]
fn a_bad_reload_keeps_what_holds_and_says_why() {
    let setup = Setup::new("mail.parts = 5");
    let live = Live::new(setup.load().unwrap_or_else(|errors| panic!("{errors}")));
    let before = live.config();
    setup.rewrite("mail.parts = 6\nmail.depht = 3");
    let errors = live.reload(&setup.layers).unwrap_err().to_string();
    assert!(
        errors.ends_with("headworks.toml:2:6: mail.depht: unknown key, did you mean `depth`?"),
        "{errors}"
    );
    assert_eq!(live.config(), before);
}

#[test]
fn the_most_specific_section_of_a_queue_wins_setting_by_setting() {
    let setup = Setup::new(
        "[queue.parse]\nmax_attempts = 2\nprefetch = 1\n[queue.'parse:hydrastor']\nprefetch = 9\npaused = true\n\
         [queue.'parse:hydrastor/alert']\npaused = false\n[queue.sort]\nprefetch = 3",
    );
    let config = setup.load().unwrap_or_else(|errors| panic!("{errors}")).config().clone();
    let limits = |name: &str| {
        let limits = config.queue_limits(&name.parse().unwrap());
        (u32::from(limits.max_attempts), limits.prefetch, limits.paused)
    };
    assert_eq!(limits("parse:other/alert"), (2, 1, false));
    assert_eq!(limits("parse:hydra/alert"), (2, 1, false));
    assert_eq!(limits("parse:hydrastor/report"), (2, 9, true));
    assert_eq!(limits("parse:hydrastor/alert"), (2, 9, false));
    let attempts = config.jobs.max_attempts.get();
    assert_eq!(limits("sort@00000000-0000-0000-0000-000000000007"), (attempts, 3, false));
}

#[test]
fn a_section_of_an_unknown_kind_or_a_malformed_name_is_an_error() {
    let cases = [
        ("prase", "\"prase\" is not a kind of job; the kinds are KINDS"),
        ("judge:x", "\"judge\" is not a kind of job; the kinds are KINDS"),
        ("parse/hydrastor", "\"parse/hydrastor\" is not a kind of job; the kinds are KINDS"),
        ("parse:a/b/c", "\"parse:a/b/c\" is not the name of a queue: kind[:module][@spool]"),
        ("sort@here", "\"sort@here\" is not the name of a queue: kind[:module][@spool]"),
    ];
    for (name, message) in cases {
        let mistakes = Setup::new(&format!("[queue.'{name}']\npaused = true\n")).mistakes();
        assert!(
            mistakes.starts_with("headworks.toml:1:8: queue.") && mistakes.ends_with(message),
            "{mistakes}"
        );
    }
}
