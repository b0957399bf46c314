//! Every mistake has its place, and all are told at once.

use super::Setup;

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
    assert!(mistakes.contains("flag: jobs.zzz: unknown key, known are lease, "), "{mistakes}");
}

#[test]
fn every_mistake_of_every_layer_is_told_at_once() {
    let setup = Setup::new(
        "[server]\nroles = ['http', 'wroker']\n[jobs]\nlease = 30\nprefetch = -1\n[[rule]]\nname = 'r'\nwhen = { subject = '(' }\n",
    )
    .conf_d("a.toml", "[[customer]]\nname = 'Bob'\ntitel = 'x'\n[[customer]]\ntitle = 'nameless'\n")
    .conf_d("b.toml", "= 1\n[mail]\nparts = \n")
    .conf_d("c.toml", "[mail]\nparts = 0\n")
    .env("HEADWORKS__MAIL__HELD_BYTES", "10")
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
    setup.sources.file = Some(setup.path().join("absent.toml"));
    assert!(setup.mistakes().starts_with("absent.toml: No such file"));
}

#[test]
fn a_section_that_is_no_section_is_a_mistake() {
    let setup = Setup::new("jobs = 3\nlisten = 'x'\n[customer]\nname = 'bobs'\n");
    let mistakes = setup.mistakes();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
}
