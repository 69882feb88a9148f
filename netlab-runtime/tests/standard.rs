//! The standard harness as a black box: what it says of tests that run in sandboxes.
//!
//! The fixtures are ignored tests of this binary, which the rows run by name in another process of it.

#[path = "runner/subject.rs"]
mod subject;

use netlab_runtime::lab::Lab;
use netlab_runtime::registry::{Body, BodyResult, Flavor, ShouldPanic, TestDef, TestReturn, TopologySource};
use netlab_runtime::runner::libtest;

use subject::{Ran, User, fixture, run, without_namespaces};

/// Unused here: no variable makes this binary a fixture.
const FIXTURE: &str = "NETLAB_TESTS_FIXTURE";

mod fixtures {
    use super::*;

    macro_rules! fixtures {
        ($(fn $name:ident($($field:ident: $value:expr),*) $(-> $return:ty)? $body:block)*) => {$(
            #[test]
            #[ignore = "run by the rows"]
            fn $name() {
                fn body(_lab: Lab) -> BodyResult {
                    fn $name() $(-> $return)? $body
                    TestReturn::into_result($name())
                }
                static TEST: TestDef = TestDef {
                    $($field: $value,)*
                    ..base(concat!(module_path!(), "::", stringify!($name)), Body::Sync(body))
                };
                libtest::run(&TEST);
            }
        )*};
    }

    const fn base(path: &'static str, body: Body) -> TestDef {
        TestDef {
            path,
            file: file!(),
            line: 1,
            topology: TopologySource::Text { text: "", file: None, privileged: false },
            parameters: &[],
            timeout: None,
            serial: None,
            ignore: None,
            should_panic: ShouldPanic::No,
            flavor: Flavor::CurrentThread,
            body,
        }
    }

    fixtures! {
        fn passes() {
            println!("said by `passes`");
            assert_eq!(std::process::id(), 2);
        }

        fn fails() {
            println!("said before");
            let child = std::process::Command::new("sh").args(["-c", "echo said by a child"]).status();
            assert!(child.unwrap().success());
            panic!("on purpose");
        }

        fn returns_an_error() -> Result<(), std::io::Error> {
            Err(std::io::Error::other("no luck"))
        }

        fn exits_zero() {
            #[expect(clippy::disallowed_methods, reason = "a way to end that is under test")]
            std::process::exit(0);
        }

        fn aborts() {
            std::process::abort();
        }

        fn hangs(timeout: Some(std::time::Duration::from_secs(3))) {
            println!("last words");
            loop {
                std::thread::park();
            }
        }

        fn should_panic(should_panic: ShouldPanic::With("purpose")) {
            panic!("on purpose");
        }

        fn should_panic_and_does_not(should_panic: ShouldPanic::Yes) {}
    }
}

fn one(user: User, name: &str, more: &[&str]) -> Ran {
    let name = format!("fixtures::{name}");
    let arguments = [&[name.as_str(), "--exact", "--ignored"], more].concat();
    run(fixture(user, "", &arguments))
}

#[test]
fn a_passing_test_passes_and_keeps_its_output_to_itself() {
    for user in User::all() {
        one(user, "passes", &[]).code(0).says("test fixtures::passes ... ok").does_not_say("said by");
        one(user, "passes", &["--show-output"]).code(0).says("said by `passes`");
    }
}

#[test]
fn a_failed_test_shows_its_output_and_nothing_of_the_harness_inside() {
    for user in User::all() {
        let ran = one(user, "fails", &[]);
        ran.code(101)
            .says("---- fixtures::fails stdout ----\nsaid before\nsaid by a child\n")
            .says("on purpose\nstack backtrace:\n")
            .says("netlab: panicked at netlab-runtime/tests/standard.rs:");
        assert_eq!(ran.out.matches("running 1 test").count(), 1, "{ran}");
        assert_eq!(ran.out.matches("stack backtrace").count(), 1, "{ran}");
    }
}

#[test]
fn nocapture_is_live_and_shows_nothing_of_the_harness_inside() {
    for user in User::all() {
        let ran = one(user, "passes", &["--nocapture"]);
        ran.code(0).says("said by `passes`\n");
        assert_eq!(ran.out.matches("running 1 test").count(), 1, "{ran}");
    }
}

#[test]
fn every_end_is_told() {
    for user in User::all() {
        one(user, "returns_an_error", &[]).code(101).says("netlab: returned an error: Custom");
        one(user, "exits_zero", &[]).code(101).says("netlab: exited with code 0 before it returned");
        one(user, "aborts", &[])
            .code(101)
            .says("signal SIGABRT (abort)")
            .says("netlab: killed by SIGABRT (abort");
        one(user, "hangs", &[]).code(101).says("last words\n\nnetlab: timed out after 3s");
        one(user, "should_panic", &[]).code(0);
        one(user, "should_panic_and_does_not", &[]).code(101).says("netlab: test did not panic as expected");
    }
}

#[test]
fn all_at_once_in_threads() {
    for user in User::all() {
        let ran = run(fixture(user, "", &["fixtures::", "--ignored", "--test-threads=8"]));
        ran.code(101).says("2 passed; 6 failed");
    }
}

#[test]
fn where_it_cannot_run_it_fails_with_the_remedy() {
    for user in User::all() {
        let command = fixture(user, "", &["fixtures::passes", "--exact", "--ignored"]);
        run(without_namespaces(command, "max_user_namespaces"))
            .code(101)
            .says("netlab: cannot run here: this machine allows no namespaces")
            .says("`sudo sysctl -w user.max_user_namespaces=10000`");
    }
}
