//! The attribute under the standard harness.

use std::error::Error;

#[path = "attribute/forms.rs"]
mod forms;

/// Cargo builds again when a file changes that is in the list the compiler writes.
#[test]
fn a_topology_file_is_one_of_the_sources() -> Result<(), Box<dyn Error>> {
    let list = std::env::current_exe()?.with_extension("d");
    let sources = std::fs::read_to_string(&list)?;
    assert!(sources.contains("tests/topologies/two_servers.topo"), "{}:\n{sources}", list.display());
    Ok(())
}
