//! A cell: a scratch machine in which one row is run, and compared before and after.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed};
use netlab::Lab;
use netlab_runtime::registry::{Body, BodyResult, Flavor, ShouldPanic, TestDef, TopologySource};
use netlab_runtime::sandbox::{self, Launch, Limit, Outcome};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollTimeout, poll};

use crate::fixtures::{self, Fixtures, TARGET, WORKSPACE};
use crate::many;
use crate::rows::ROWS;
use crate::snapshot::{FOLDERS, Snapshot};
use crate::subject::{self, Harness, Kind, Subject, User};

/// What the machine of a cell has: interfaces, routes, an own address, a firewall.
const MACHINE: &str = "
    net    lan 192.0.2.0/24 2001:db8:2::/64
    net    office 198.51.100.0/24 2001:db8:1::/64
    router host lan=.1 office=.7 nat(lan from=office) dnat(8080/tcp -> printer:80)
    node   gateway lan=.254
    node   printer office=.9
";

/// The same, with interfaces that a lab may have, named as hardly any machine has them.
const MACHINE_WITH_PORTS: &str = "
    net    lan 192.0.2.0/24 2001:db8:2::/64
    net    office 198.51.100.0/24 2001:db8:1::/64
    link   host far1 10.80.1.0/30
    link   host far2 10.80.2.0/30
    link   host far3 10.80.3.0/30
    link   host far4 10.80.4.0/30
    link   host far5 10.80.5.0/30
    link   host far6 10.80.6.0/30
    link   host far7 10.80.7.0/30
    link   host far8 10.80.8.0/30
    node   far[8]
    router host lan=.1 office=.7 nat(lan from=office) dnat(8080/tcp -> printer:80)
    node   gateway lan=.254
    node   printer office=.9
";

/// How long the kernel may take to clear up after a run, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a cell may take.
const LIMIT: Duration = Duration::from_secs(240);

/// Who runs the tests of a cell, and how: a column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    pub kind: Kind,
    pub user: User,
    pub harness: Harness,
}

impl Column {
    pub fn all() -> impl Iterator<Item = Self> {
        [Kind::Isolated, Kind::Privileged].into_iter().flat_map(|kind| {
            [User::Root, User::Ordinary].into_iter().flat_map(move |user| {
                [Harness::Standard, Harness::Own, Harness::Nextest].map(|harness| Self {
                    kind,
                    user,
                    harness,
                })
            })
        })
    }

    /// Why it cannot be run here, if so.
    fn obstacle(self) -> Option<&'static str> {
        if self.user == User::Root && !(nix::unistd::geteuid().is_root() && is_initial()) {
            return Some("takes root; an ordinary user's columns are run");
        }
        if self.harness == Harness::Nextest && fixtures::nextest().is_none() {
            return Some("takes cargo-nextest, which is neither in CARGO_HOME nor in PATH");
        }
        if self.kind == Kind::Privileged {
            if self.user == User::Ordinary && nix::unistd::geteuid().is_root() {
                return Some("takes an ordinary user, to whom the machine is one that a user namespace owns");
            }
            if ["iptables", "ip6tables"]
                .iter()
                .any(|program| Command::new(program).arg("--version").output().is_err())
            {
                return Some("takes iptables, which is not installed");
            }
        }
        None
    }
}

/// Whether root here is a root with more than one user, as that of a machine or a container is.
pub fn is_initial() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().count() == 1 && map.split_whitespace().nth(2).is_some_and(|count| count != "1")
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match self.user {
            User::Root => "root",
            User::Ordinary => "user",
        };
        let harness = match self.harness {
            Harness::Standard => "standard",
            Harness::Own => "own",
            Harness::Nextest => "nextest",
        };
        write!(f, "{}::{user}::{harness}", self.kind)
    }
}

/// The test that is a cell, by its path: the crate's name, the column, the row.
pub fn of_path(path: &str) -> Option<&'static TestDef> {
    let known = Column::all().any(|column| {
        path.strip_prefix(&format!("teardown::{column}::")).is_some_and(|row| {
            ROWS.iter().any(|known| known.name == row) || many::ROWS.iter().any(|(known, _)| *known == row)
        })
    });
    known.then(|| &*Box::leak(Box::new(def(path.to_owned().leak()))))
}

fn def(path: &'static str) -> TestDef {
    let privileged = path.starts_with("teardown::privileged::");
    TestDef {
        path,
        file: file!(),
        line: line!(),
        topology: TopologySource::Text {
            text: if privileged { MACHINE_WITH_PORTS } else { MACHINE },
            file: None,
            privileged: false,
        },
        parameters: &[],
        timeout: Some(LIMIT),
        serial: None,
        ignore: None,
        should_panic: ShouldPanic::No,
        flavor: Flavor::CurrentThread,
        body: Body::Sync(body),
    }
}

/// Runs a cell in its sandbox.
pub fn run(column: Column, row: &str) -> Result<Completion, Failed> {
    if let Some(why) = column.obstacle() {
        return Ok(Completion::ignored_with(why));
    }
    let def = of_path(&format!("teardown::{column}::{row}")).expect("rows and columns are known");
    let limit = Limit { after: LIMIT, scale: 1.0, source: "the limit of cells" };
    let how = Launch { harness: sandbox::Harness::Own, live: false, limit };
    let mut run = sandbox::launch(def, how, None).map_err(|_needs| "a cell is isolated")?;
    run.settle(0);
    match run.outcome {
        Outcome::Passed => Ok(Completion::Completed),
        Outcome::Failed(failure) => Err(format!("{}\n{failure}", run.output.text()).into()),
        Outcome::Unavailable(why) => Ok(Completion::ignored_with(why)),
    }
}

/// What happens in the sandbox.
#[expect(clippy::needless_pass_by_value, reason = "bodies of tests are so")]
fn body(lab: Lab) -> BodyResult {
    // The test's name is all that a worker is told.
    let name = std::env::args().nth(1).ok_or("a worker is given its test's name")?;
    let (column, row) = Column::all()
        .find_map(|column| Some((column, name.strip_prefix(&format!("{column}::"))?.to_owned())))
        .ok_or_else(|| format!("`{name}` is no cell"))?;
    let fixtures = fixtures::read();
    make_machine(&fixtures);
    let subject =
        Subject { kind: column.kind, user: column.user, harness: column.harness, fixtures: &fixtures };
    if column.kind == Kind::Privileged {
        let made = as_after_the_first_test();
        assert!(made.is_ok(), "{made:?}");
    }
    if let Some((_, run)) = many::ROWS.iter().find(|(known, _)| *known == row) {
        run(&lab, subject);
        return Ok(());
    }
    let row = ROWS.iter().find(|known| known.name == row).ok_or("no such row")?;
    let before = Snapshot::take(&lab);
    assert!(
        before.count("link host") >= 3 && before.count("sysctl") > 100 && before.count("namespace net:") >= 3
    );
    row.run(subject, &mut || becomes(&lab, &before));
    becomes(&lab, &before);
    Ok(())
}

/// Runs something, and sees to it that the machine becomes as it was.
#[track_caller]
pub fn compared(lab: &Lab, run: impl FnOnce()) {
    let before = Snapshot::take(lab);
    assert!(
        before.count("link host") >= 3 && before.count("sysctl") > 100 && before.count("namespace net:") >= 3
    );
    run();
    becomes(lab, &before);
}

/// Waits for the machine to become as it was.
#[track_caller]
pub fn becomes(lab: &Lab, before: &Snapshot) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let after = Snapshot::take(lab);
        if after == *before {
            return;
        }
        assert!(Instant::now() < deadline, "left, and gone:\n{}", before.differences(&after));
        // A moment for the kernel; there is nothing to be woken by.
        poll(&mut [], PollTimeout::from(10_u8)).expect("poll is not interrupted");
    }
}

/// Gives the cell folders of its own, with the repository and the programs in them wherever they are outside.
fn make_machine(fixtures: &Fixtures) {
    let tmpfs = |folder: &str, mode: &str| {
        mount(Some("cell"), folder, Some("tmpfs"), MsFlags::empty(), Some(mode)).expect("we are root");
    };
    let bind = |from: &Path, to: &Path| {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .unwrap_or_else(|error| panic!("binding {}: {error}", from.display()));
    };
    // As on a machine: only root writes there.
    tmpfs("/run", "mode=755");
    for (from, to) in [(&fixtures.workspace, WORKSPACE), (&fixtures.target, TARGET)] {
        fs::create_dir(to).expect("/run is ours");
        bind(from, Path::new(to));
    }
    if let Some(nextest) = &fixtures.nextest {
        let to = Path::new("/run/tools/cargo-nextest");
        fs::create_dir("/run/tools").expect("/run is ours");
        fs::write(to, "").expect("/run is ours");
        bind(nextest, to);
    }
    for folder in FOLDERS.into_iter().filter(|folder| *folder != "/run" && Path::new(folder).is_dir()) {
        tmpfs(folder, "mode=1777");
    }
    subject::make_shared();
}

/// Does to the machine what the first privileged test of its life does for good: iptables makes its tables and chains, whose modules
/// bring sysctls.
fn as_after_the_first_test() -> std::io::Result<()> {
    let chains = [("filter", "INPUT"), ("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "POSTROUTING")];
    for program in ["iptables", "ip6tables"] {
        for (table, chain) in chains {
            for change in ["-A", "-D"] {
                let output = Command::new(program)
                    .args(["-t", table, change, chain, "-j", "RETURN"])
                    .env("XTABLES_LOCKFILE", "/run/xtables.lock")
                    .output()?;
                if !output.status.success() {
                    return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
                }
            }
        }
    }
    Ok(())
}
