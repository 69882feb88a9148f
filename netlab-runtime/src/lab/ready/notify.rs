//! Readiness as the program tells of it (sd_notify(3)).

use crate::lab::program::Program;

pub(super) fn look(program: &Program) -> Result<(), String> {
    let notified = program.notified();
    if notified.ready {
        return Ok(());
    }
    let status = notified.status.map_or_else(String::new, |status| format!("; its status is `{status}`"));
    Err(format!("it did not say `READY=1` on its NOTIFY_SOCKET{status}"))
}
