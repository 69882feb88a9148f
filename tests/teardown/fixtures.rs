//! The binaries that the cells run: built once, and how they are found from within.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Where a cell has this repository.
pub const WORKSPACE: &str = "/run/workspace";
/// Where a cell has what cargo built.
pub const TARGET: &str = "/run/target";

/// What cargo built, and where things are outside.
#[derive(Debug)]
pub struct Fixtures {
    /// The folder that cells have as [`WORKSPACE`].
    pub workspace: PathBuf,
    /// The folder that cells have as [`TARGET`].
    pub target: PathBuf,
    /// The tests under `netlab::main!()`, as cells have them.
    pub own: PathBuf,
    /// The same under the standard harness.
    pub standard: PathBuf,
    /// cargo-nextest, where it is installed.
    pub nextest: Option<PathBuf>,
}

/// The folder for what is prepared.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The folder as cells have it.
pub fn folder_in_cells(fixtures: &Fixtures) -> PathBuf {
    inside(folder(), &fixtures.target, TARGET)
}

fn inside(path: &Path, outer: &Path, inner: &str) -> PathBuf {
    let rest = path
        .strip_prefix(outer)
        .unwrap_or_else(|_| panic!("{} is within {}", path.display(), outer.display()));
    Path::new(inner).join(rest)
}

/// cargo-nextest, if it is installed: beside cargo or in the path.
pub fn nextest() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "these are no settings of netlab's")]
    let (home, path) = (std::env::var_os("CARGO_HOME"), std::env::var_os("PATH").unwrap_or_default());
    let home = home.map(|home| PathBuf::from(home).join("bin"));
    let folders = home.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join("cargo-nextest")).find(|program| program.is_file())
}

/// Builds the fixtures. Under nextest, where each cell is a process, the first one does it for all.
pub fn prepare() {
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let done = folder().join("teardown-run");
    if fs::read_to_string(&done).is_ok_and(|text| text == run) {
        return;
    }
    let built = cargo(&[
        "test",
        "--no-run",
        "--offline",
        "--package",
        "netlab-outcomes",
        "--features=machine",
        "--message-format=json",
    ]);
    let metadata = cargo(&["metadata", "--offline", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let artifacts: Vec<Value> = built.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |name: &str| -> String {
        let of = |value: &&Value| value["target"]["name"] == name && value["executable"].is_string();
        let found = artifacts.iter().find(of).unwrap_or_else(|| panic!("cargo has built `{name}`"));
        found["executable"].as_str().unwrap_or_default().to_owned()
    };
    let text = |value: &Value| value.as_str().expect("a path").to_owned();
    let (workspace, target) = (text(&metadata["workspace_root"]), text(&metadata["target_directory"]));
    let (own, standard) = (executable("own"), executable("standard"));

    let moved = |text: &str| text.replace(&target, TARGET).replace(&workspace, WORKSPACE);
    write("teardown-cargo.json", &moved(&metadata.to_string()));
    write("teardown-binaries.json", &moved(&binaries(&standard, &target, &workspace).to_string()));
    write(
        "teardown-fixtures",
        &[&workspace, &target, &own, &standard].map(|path| format!("{path}\n")).concat(),
    );
    write("teardown-run", &run);
}

/// What `cargo nextest list --list-type binaries-only` would say, which takes a second.
fn binaries(standard: &str, target: &str, workspace: &str) -> Value {
    serde_json::json!({
        "rust-build-meta": {
            "target-directory": target,
            "base-output-directories": ["debug"],
            "non-test-binaries": {},
            "build-script-out-dirs": {},
            "linked-paths": [],
            "target-platform": null,
        },
        "rust-binaries": {
            "netlab-outcomes::standard": {
                "binary-id": "netlab-outcomes::standard",
                "binary-name": "standard",
                "package-id": format!("path+file://{workspace}/tests/fixtures/outcomes#netlab-outcomes@{}", env!("CARGO_PKG_VERSION")),
                "kind": "test",
                "binary-path": standard,
                "build-platform": "target",
            },
        },
    })
}

/// Writes a file whole or not at all: others may be at the same.
fn write(name: &str, text: &str) {
    let new = folder().join(format!("{name}.{}", std::process::id()));
    fs::write(&new, text).expect("the folder for temporary files is writable");
    fs::rename(&new, folder().join(name)).expect("a file can be renamed");
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs, it runs this test");
    assert!(output.status.success(), "cargo {}: {}", arguments.join(" "), output.status);
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// What was prepared.
pub fn read() -> Fixtures {
    let text = fs::read_to_string(folder().join("teardown-fixtures")).expect("the fixtures were prepared");
    let paths: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    let [workspace, target, own, standard] = paths.try_into().expect("four paths");
    let (own, standard) = (inside(&own, &target, TARGET), inside(&standard, &target, TARGET));
    Fixtures { workspace, target, own, standard, nextest: nextest() }
}
