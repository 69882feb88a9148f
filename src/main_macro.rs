//! The entry point of a target without the standard harness.

/// Is the whole `main` of a test target with `harness = false`, or of an example that is a test: runs every
/// `#[netlab::test]` of the binary.
///
/// Under the standard harness leave it out.
#[macro_export]
macro_rules! main {
    () => {
        fn main() -> ::std::process::ExitCode {
            // `cargo test` sets `test` for a target without harness too; `cargo run` does not, and who runs an
            // example by hand wants to see what it says while it says it.
            $crate::__private::main(!::core::cfg!(test))
        }
    };
}
