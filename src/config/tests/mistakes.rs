//! Every mistake has its place, and all are told at once.

use super::super::layer::DEFAULTS;
use super::Setup;
use proptest::prelude::*;

#[test]
fn an_unknown_key_is_told_with_line_column_and_what_was_meant() {
    let setup = Setup::new("[jobs]\nlease = '1m'\n  leese = '1m'\n");
    assert_eq!(setup.mistakes(), "headworks.toml:3:3: jobs.leese: unknown key, did you mean `lease`?");
    let setup = Setup::new("").env("HEADWORKS__STROE__URL", "x").flag("jobs.zzz=1");
    let mistakes = setup.mistakes();
    assert!(
        mistakes.contains("environment HEADWORKS__STROE__URL: stroe: unknown key, did you mean `store`?"),
        "{mistakes}"
    );
    assert!(mistakes.contains("flag: jobs.zzz: unknown key; known are lease, "), "{mistakes}");
}

#[test]
fn every_mistake_of_every_layer_is_told_at_once() {
    let setup = Setup::new(
        "[server]\nroles = ['http', 'wroker']\n[jobs]\nlease = 30\nprefetch = -1\n[[rule]]\nname = 'r'\nwhen = { subject = '(' }\n",
    )
    .conf_d("a.toml", "[[customer]]\nname = 'Bob'\ntitel = 'x'\n[[customer]]\ntitle = 'nameless'\n")
    .conf_d("b.toml", "= 1\n[mail]\nparts = \n")
    .conf_d("c.toml", "[mail]\nparts = 0\n")
    .env("HEADWORKS__MAIL__MESSAGE_BYTES", "10")
    .flag("nonsense");
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn settings_that_do_not_fit_each_other_are_told_at_once() {
    let setup = Setup::new(
        "store.kind = 'postgres'\njobs.poll_min = '1h'\njobs.lease = '500ms'\n\
         [[customer]]\nname = '_held'\nplus = 'bobs'\n[queue.prase]\npaused = true\n",
    )
    .conf_d("a.toml", "[[customer]]\nname = 'bobs'\nrecipients = ['a@b.c', 'A@B.C']\n")
    .conf_d("b.toml", "[[customer]]\nname = 'bobs'\n")
    .conf_d(
        "c.toml",
        "[[rule]]\nname = 'r'\nwhen = { customer = 'bosb', subject = '(?<grid>x)', from = '(?<grid>y)' }\n\
         set = { type = '{gird}' }\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let mut setup = Setup::new("");
    setup.layers.file = Some(setup.path().join("absent.toml"));
    assert!(setup.mistakes().starts_with("absent.toml: No such file"));
}

#[test]
fn a_section_that_is_no_section_is_a_mistake() {
    let setup = Setup::new("jobs = 3\nlisten = 'x'\n[customer]\nname = 'bobs'\n");
    let mistakes = setup.mistakes();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
}

proptest! {
    // Each case loads a whole configuration several times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_panics_and_every_mistake_has_a_place(
        at in 0_usize..300,
        line in "[a-z]{1,8}( = |\\.)['\"\\[{0-9a-z}\\]]{0,8}|\\[{1,2}[a-z.]{0,12}\\]{1,2}|.{0,20}",
    ) {
        let mut lines: Vec<&str> = DEFAULTS.lines().collect();
        let at = at % lines.len();
        lines[at] = &line;
        if let Err(errors) = Setup::new(&lines.join("\n")).load() {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(|mistake| mistake.place.contains("headworks.toml:")), "{errors}");
        }
    }

    #[test]
    fn no_variable_or_flag_panics(key in "[A-Z_]{0,12}|(JOBS|RULE|STORE|LISTEN)(__[A-Z]{1,5})?", words in ".{0,20}|[\\[{][a-z=0-9 ,']{0,9}[\\]}]") {
        let setup = Setup::new("").env(&format!("HEADWORKS__{key}"), &words).flag(&format!("{key}={words}").to_lowercase());
        let shown = setup.load().map(|loaded| loaded.print(true).len());
        prop_assert!(shown.is_ok_and(|length| length > 0) || !setup.mistakes().is_empty());
    }
}
