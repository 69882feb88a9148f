//! Users in a sandbox: a range of them where `newuidmap` and `/etc/subuid` allow it, one otherwise.
//!
//! This binary is both sides. Run by cargo it is the rows; a row runs it again with [`FIXTURE`] set, as a user with or without
//! a range, and then it is a binary of netlab tests. As root a row becomes an ordinary user in a mount namespace with an
//! `/etc/subuid` of its own, so that nothing of the machine changes.

#![expect(clippy::disallowed_methods, reason = "what is read here is no setting of netlab's")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netlab::prelude::*;

/// What makes this binary a fixture.
const FIXTURE: &str = "NETLAB_TESTS_USERS";

/// A user that every Debian has (`/usr/share/base-passwd/passwd.master`), and that runs nothing: whom a row as root becomes.
const OTHER: (&str, u32) = ("nobody", 65_534);

type Judged = Result<Completion, Failed>;

fn main() -> ExitCode {
    if env::var_os(FIXTURE).is_some() {
        return netlab::__private::main(false);
    }
    let trials = vec![
        Trial::ignorable_test("a_range_of_users", a_range_of_users),
        Trial::ignorable_test("one_user_without_the_helper", one_user_without_the_helper),
        Trial::ignorable_test("one_user_where_it_is_asked_for", one_user_where_it_is_asked_for),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn a_range_of_users() -> Judged {
    if !on_the_path("newuidmap") || !on_the_path("newgidmap") {
        return Ok(Completion::ignored_with("`newuidmap` is not installed (Debian: uidmap)"));
    }
    if !is_root() && !has_a_range() {
        return Ok(Completion::ignored_with(
            "this user has no range in `/etc/subuid` (see `cargo netlab doctor`)",
        ));
    }
    passes("many_users", &["drops_its_privileges", "many_at_once_1", "many_at_once_2"], &[])
}

fn one_user_without_the_helper() -> Judged {
    let empty = env::temp_dir();
    passes("one_user", &["is_refused_in_words"], &[("PATH", empty.to_str().unwrap_or("/nowhere"))])
}

fn one_user_where_it_is_asked_for() -> Judged {
    passes("one_user", &["is_refused_in_words"], &[("NETLAB_USERS", "one")])
}

/// Runs the fixtures of a module as an ordinary user with a range, with the environment changed; all of these must pass.
fn passes(module: &str, tests: &[&str], changed: &[(&str, &str)]) -> Judged {
    let output = as_a_user(&[module], changed);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for test in tests {
        let line = format!("test {module}::{test}");
        if !text.lines().any(|said| said.starts_with(&line) && said.ends_with("... ok")) {
            return Err(format!("no `{line} ... ok` in:\n{text}").into());
        }
    }
    if output.status.success() { Ok(Completion::Completed) } else { Err(text.into()) }
}

fn as_a_user(arguments: &[&str], changed: &[(&str, &str)]) -> Output {
    let binary = env::current_exe().expect("this program's path");
    let mut command = if is_root() {
        // The binary may lie where only root may look: it is bound over a file that everybody may execute.
        const SCRIPT: &str = r#"
            binary=$1 user=$2 uid=$3 path=$4; shift 4
            for kind in uid gid; do
                mount -t tmpfs none /mnt && echo "$user:200000:65536" >/mnt/sub
                mount --bind /mnt/sub /etc/sub$kind
            done
            mount -t tmpfs -o mode=755 none /mnt && touch /mnt/tests && mount --bind "$binary" /mnt/tests
            cd /mnt
            exec setpriv --reuid "$uid" --regid "$uid" --clear-groups env PATH="$path" /mnt/tests "$@"
        "#;
        let path = changed.iter().find(|(name, _)| *name == "PATH").map(|(_, value)| (*value).to_owned());
        let path = path.or_else(|| env::var("PATH").ok()).unwrap_or_default();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-eu", "-c", SCRIPT, "sh"]);
        command.arg(binary).args([OTHER.0, &OTHER.1.to_string(), &path]);
        command.envs(changed.iter().filter(|(name, _)| *name != "PATH").copied());
        command
    } else {
        let mut command = Command::new(binary);
        command.envs(changed.iter().copied());
        command
    };
    command.args(arguments).env(FIXTURE, "1").env_remove("NETLAB_STRICT").env_remove("CI");
    command.output().expect("`unshare` of util-linux starts")
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn has_a_range() -> bool {
    let uid = nix::unistd::geteuid();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(&name))
    })
}

fn on_the_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

fn users() -> String {
    fs::read_to_string("/proc/self/uid_map").expect("/proc is mounted")
}

mod many_users {
    use super::*;

    /// As daemons do: files for another user made by root, then the change of user.
    #[netlab::test(topology = "net lan; node web lan; node client lan")]
    async fn drops_its_privileges(web: Node, client: Node) -> netlab::Result {
        assert_eq!(users().lines().count(), 2, "{}", users());
        // Not a name of its own making: process ids are the same in all sandboxes, and `/tmp` is the machine's.
        let script = "file=$(mktemp) && chown 33:33 $file && stat -c %u:%g $file; rm $file
            exec setpriv --reuid 33 --regid 33 --clear-groups id -u";
        let output = web.command("sh").args(["-c", script]).output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, "33:33\n33\n", "{}", String::from_utf8_lossy(&output.stderr));
        let output = web.command("id").arg("-G").user(1234, 65_534).output().await?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "65534\n");
        client.ping("web").await?;
        let error = web.command("true").user(0, 200_000).status().await.expect_err("beyond the range");
        assert!(error.to_string().contains("no group 200000: 65537 groups are mapped here"), "{error}");
        Ok(())
    }

    /// Two sandboxes in one user namespace know nothing of each other.
    #[netlab::test(topology = "net lan; node a lan; node b lan")]
    fn many_at_once_1(a: Node, b: Node) -> netlab::Result {
        alone(&a, &b)
    }

    #[netlab::test(topology = "net lan; node a lan; node b lan")]
    fn many_at_once_2(a: Node, b: Node) -> netlab::Result {
        alone(&a, &b)
    }

    fn alone(a: &Node, b: &Node) -> netlab::Result {
        a.ping(b.addr()).blocking()?;
        let processes = fs::read_dir("/proc").expect("/proc is mounted");
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2], "init and this test");
        Ok(())
    }
}

mod one_user {
    use super::*;

    #[netlab::test(topology = "net lan; node web lan; node client lan")]
    async fn is_refused_in_words(web: Node, client: Node) -> netlab::Result {
        assert_eq!(users().split_ascii_whitespace().last(), Some("1"), "{}", users());
        client.ping("web").await?;
        let shell = Path::new("/bin/sh");
        let error = web.command(shell).args(["-c", "true"]).user(33, 33).status().await;
        let error = error.expect_err("there is no such user").to_string();
        for words in
            ["node `web`: `/bin/sh -c true`", "no user 33: only one user is mapped here", "/etc/subuid"]
        {
            assert!(error.contains(words), "no {words:?} in: {error}");
        }
        let status = web.command(shell).args(["-c", "true"]).user(0, 0).status_blocking()?;
        assert!(status.success());
        Ok(())
    }
}
